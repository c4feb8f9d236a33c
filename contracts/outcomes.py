"""How a request, or the handling of a message, ends."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Outcome(StrEnum):
    """One vocabulary for the runtime, contexts, journal, metrics, charts and console."""

    DONE = "done"
    """A reply came, or the message was handled."""
    REFUSED = "refused"
    """A business rule said no, with a reason."""
    UNAVAILABLE = "unavailable"
    """Certainly not begun: nothing was committed on behalf of the message."""
    UNKNOWN = "unknown"
    """Sent, and no reply in time: whatever may have happened must be undone or found out."""
    STILL_RUNNING = "still_running"
    """The same request is being handled, or will be handled again."""
    RETRY = "retry"
    """A durable message failed; it is kept and will be handled again."""
    NO_REPLY = "no_reply"
    """A request failed after something may have been committed: its caller gets no reply."""


NoReply = Literal[Outcome.UNAVAILABLE, Outcome.UNKNOWN]
"""What the second function of a step is given when no reply came."""

FAILURES = frozenset({Outcome.UNAVAILABLE, Outcome.UNKNOWN, Outcome.NO_REPLY, Outcome.RETRY})
"""Outcomes that an operator counts as failures; a refusal is none."""

REPLIES = frozenset({Outcome.DONE, Outcome.REFUSED, Outcome.UNAVAILABLE, Outcome.STILL_RUNNING})
"""Outcomes that travel in a reply."""

NOT_REFUSALS = frozenset(Outcome) - {Outcome.REFUSED}
"""A record holds one of these, or the code of a refusal."""
