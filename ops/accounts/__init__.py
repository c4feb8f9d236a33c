"""Accounts: a broker user and a database role for each context, the gateway and the operator."""
