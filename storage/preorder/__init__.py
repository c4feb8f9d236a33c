"""Phone pre-order: tables and statements of its contexts."""
