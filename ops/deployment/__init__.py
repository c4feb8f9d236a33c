"""What runs the system elsewhere, written and checked.

`python -m ops.deployment write` writes what follows from `workers/registry.py`; `check` names what is wrong with the
rest: compose.yaml, deploy/kubernetes, the workflow.
"""
