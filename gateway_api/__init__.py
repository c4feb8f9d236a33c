"""The HTTP door: checks the token, builds a message, asks, and turns the outcome into HTTP. Has no database."""
