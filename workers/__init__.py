"""The workers: one module or package per context, and the `runtime` that all of them share."""
