"""The names of the exchanges."""

from __future__ import annotations

COMMANDS, QUERIES, EVENTS = "yeyak.commands", "yeyak.queries", "yeyak.events"
REPLIES, DEAD = "yeyak.replies", "yeyak.dead"
SESSIONS = "yeyak.sessions"
"""Sessions of the console that have ended, from each gateway to all."""
