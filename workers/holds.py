"""How a context that lends things finds out whether a hold is still wanted: it asks the holder, and never forgets.

take -> a timer -> ask_holder -> SettleHold (the holder's context) -> ConfirmHold | the thing is released
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from contracts.base import Command
from storage.database import Row
from storage.holds import Holds
from workers.runtime.processing.tx import RunAgain, Tx

SLOWEST_SECONDS = 3600.0


async def ask_holder(
    tx: Tx, holds: Holds, holder: UUID, question: Callable[[Row], Command[None]], *, first_seconds: float
) -> RunAgain | None:
    """Send the holder of an unconfirmed hold a question, again and again with growing delay: no hold ends by itself."""
    hold = await holds.unconfirmed(tx, holder)
    if hold is None:
        return None
    tx.publish(question(hold))
    return RunAgain(tx.backoff(first_seconds, max(first_seconds, SLOWEST_SECONDS)))
