"""Video rental: tables and statements of its contexts."""
