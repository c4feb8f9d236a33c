"""Transactions for steps: those that arrive together share one.

Under load a transaction's way there and back costs more than the step in it, so steps that wait while others are at
work run in one transaction, one after the other, and are claimed by one statement. Alone, a step is a batch of one.
When a shared transaction fails for whatever reason, nothing of it stands, and each of its steps runs again on its own:
a handler never sees that it had company.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from storage.database import CONNECTION_ERRORS, CommitInDoubt
from workers.runtime.processing.processor import Attempt, ClaimConflict, MessageProcessor, Step

if TYPE_CHECKING:
    from workers.runtime.processing.worker_runtime import WorkerRuntime

AT_ONCE = 2
"""Transactions under way in one context; more would leave nobody to share one with."""
TOGETHER = 16


class _Waiting:
    """A step that waits for a transaction."""

    __slots__ = ("done", "function", "handling", "outcome", "taken")

    def __init__(self, handling: MessageProcessor, function: Step, outcome: tuple[Any, ...]) -> None:
        self.handling = handling
        self.function = function
        self.outcome = outcome
        self.taken = False
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def ends(self, result: Any = None, error: BaseException | None = None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(result)
        else:
            self.done.set_exception(error)


class _Unclaimed(Exception):
    """A row of a shared transaction belongs to another handling."""


class TransactionBatcher:
    """The transactions of one context."""

    def __init__(self, context: WorkerRuntime) -> None:
        self._context = context
        self._waiting: list[_Waiting] = []
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self, handling: MessageProcessor, function: Step, *outcome: Any) -> Any:
        """Run a step, claim its message and commit; returns its result.

        Raises what the step raises, ClaimConflict when another handling owns it, CommitInDoubt with the result.
        """
        step = _Waiting(handling, function, outcome)
        self._waiting.append(step)
        async with self._slots:
            if not step.taken:
                await self._run(self._take())
        return await step.done

    def _take(self) -> list[_Waiting]:
        batch, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
        for step in batch:
            step.taken = True
        return batch

    async def _run(self, batch: list[_Waiting]) -> None:
        try:
            if len(batch) > 1 and await self._shared(batch):
                return
            await asyncio.gather(*(self._alone(step) for step in batch))
        finally:
            for step in batch:  # only a cancelled batch leaves any
                step.done.cancel()

    async def _shared(self, batch: list[_Waiting]) -> bool:
        """All in one transaction; False when it failed and nothing of it stands."""
        attempts: list[Attempt] = []
        try:
            async with self._context.database.transaction() as session:
                attempts = [await step.handling.attempt(session, step.function, *step.outcome) for step in batch]
                claims = [
                    attempt.finished
                    for step, attempt in zip(batch, attempts, strict=True)
                    if not step.handling.only_looks(attempt.result)
                ]
                if claims and not await self._context.inbox.finish(session, claims):
                    raise _Unclaimed
                await batch[0].handling.reach("claimed")
            await batch[0].handling.reach("commit lost?")
        except CommitInDoubt:
            for step, attempt in zip(batch, attempts, strict=True):
                step.ends(error=CommitInDoubt(attempt.result))
        except CONNECTION_ERRORS as error:
            for step in batch:
                step.ends(error=error)
        except Exception:
            return False
        else:
            for step, attempt in zip(batch, attempts, strict=True):
                step.ends(step.handling.has_committed(attempt))
        return True

    async def _alone(self, step: _Waiting) -> None:
        try:
            step.ends(await self._single(step.handling, step.function, *step.outcome))
        except Exception as error:
            step.ends(error=error)

    async def _single(self, handling: MessageProcessor, function: Step, *outcome: Any) -> Any:
        context, attempt = self._context, None
        try:
            async with context.database.transaction() as session:
                attempt = await handling.attempt(session, function, *outcome)
                claim = attempt.finished
                if not handling.only_looks(attempt.result) and not await context.inbox.finish(session, [claim]):
                    row = await context.inbox.find(session, handling.envelope.id)
                    assert row is not None
                    raise ClaimConflict(row)
                await handling.reach("claimed")
            await handling.reach("commit lost?")
        except CommitInDoubt as doubt:
            raise CommitInDoubt(attempt.result if attempt else None) from doubt
        return handling.has_committed(attempt)
