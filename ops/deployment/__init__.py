"""Generates and checks the files that deploy the system.

`python -m ops.deployment write` generates the files that follow from `workers/registry.py`; `check` finds what is wrong
with the others: compose.yaml, deploy/kubernetes, the workflows.
"""
