"""The HTTP gateway: checks the token, sends a message to a context, and maps the outcome to HTTP. No database."""
