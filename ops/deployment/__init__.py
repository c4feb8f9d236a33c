"""What runs the town elsewhere, written and checked: compose.yaml, deploy/kubernetes, the workflow.

`python -m ops.deployment write` writes what follows from `workers/town.py`; `check` says what is wrong with the rest.
"""
