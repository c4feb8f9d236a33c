"""The names of the exchanges and of the streams."""

from __future__ import annotations

COMMANDS, QUERIES, EVENTS = "yeyak.commands", "yeyak.queries", "yeyak.events"
REPLIES, DEAD = "yeyak.replies", "yeyak.dead"
SESSIONS = "yeyak.sessions"
"""Sessions of the console that have ended, from each gateway to all."""

STREAM, SESSION_STREAM = "yeyak.journal", "yeyak.ended_sessions"
STREAMS = (STREAM, SESSION_STREAM)
"""They keep what was read, so that their length is no backlog."""
