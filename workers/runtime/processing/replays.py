"""Answers to keys that are older than an answer is kept: what the key has created is there, or nothing is."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from contracts.base import Message, Refused
from workers.runtime.processing.handlers import Handler, Step
from workers.runtime.processing.tx import Tx


class Replay:
    """Looks for what a message has created before, when it is refused or meets its own rows.

    Only the id of a message that came with a key (a UUID of version 5) can have been here before.
    """

    def __init__(self, handler: Handler, message_id: UUID) -> None:
        self._handler = handler
        self._message_id = message_id
        self.found = False
        """The answer was read from what is there."""

    def is_possible(self, outcome: tuple[Any, ...]) -> bool:
        """Whether this step is the one that creates, and nothing was found yet."""
        handler = self._handler
        creates = handler.replays is not None and (not outcome or handler.read_only)
        return creates and self._message_id.version == 5 and not self.found

    async def instead_of(self, refusal: Refused, tx: Tx) -> Any:
        """What is there; the refusal when there is nothing."""
        found = await self._find(tx)
        return refusal if found is None else found

    def after(self, error: Exception) -> Step:
        """A step that answers with what is there; it raises the error again when there is nothing."""

        async def replay(_message: Message, tx: Tx) -> Any:
            found = await self._find(tx)
            if found is None:
                raise RuntimeError(f"{self._handler.name} met the rows of another message") from error
            return found

        return replay

    async def _find(self, tx: Tx) -> Any:
        found = await self._handler.replays(tx, tx.id) if self._handler.replays else None
        self.found = found is not None
        return found
