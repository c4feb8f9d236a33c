"""Who acts: one module per context; `runtime` holds what all of them share."""
