"""The messages of the system: commands, events and queries. Imports no other package of the project."""
