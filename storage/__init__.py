"""Persistence: the tables of each context, with one function per statement. Imports `contracts` only."""
