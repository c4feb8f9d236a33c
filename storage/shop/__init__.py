"""Shop: tables and statements of its contexts."""
