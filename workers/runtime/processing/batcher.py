"""Transactions for steps: those that arrive together share one.

Under load a transaction's round trips cost more than the step in it. So steps that wait while others are at work run in
one transaction, one after the other, and are claimed by one statement. Alone, a step is a batch of one. When a shared
transaction fails for whatever reason it is rolled back, and each of its steps runs again on its own: a handler never
notices that it shared a transaction.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from storage.database import CONNECTION_ERRORS, CommitInDoubt, Database, Row, Session
from storage.inbox import CompletedStep, Inbox
from workers.runtime.processing.handlers import Step

CONCURRENT_TRANSACTIONS = 2
"""In one context; with more there would be nobody to share one with."""
BATCH_SIZE = 16


class ClaimConflict(Exception):
    """The inbox row belongs to another handling."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.row = row


@dataclass(slots=True)
class StepRun:
    """A step that has run and is not claimed yet."""

    result: Any
    completed: CompletedStep


class Claimant(Protocol):
    """The handling that a step belongs to."""

    @property
    def message_id(self) -> UUID: ...

    async def run_step(self, session: Session, function: Step, *outcome: Any) -> StepRun: ...

    def keeps_nothing(self, result: Any) -> bool: ...

    def mark_committed(self, run: StepRun) -> Any: ...

    async def reach(self, place: str) -> None: ...


class _WaitingStep:
    """A step that waits for a transaction."""

    __slots__ = ("claimant", "done", "function", "outcome", "taken")

    def __init__(self, claimant: Claimant, function: Step, outcome: tuple[Any, ...]) -> None:
        self.claimant = claimant
        self.function = function
        self.outcome = outcome
        self.taken = False
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def end(self, result: Any = None, error: BaseException | None = None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(result)
        else:
            self.done.set_exception(error)


class _SharedClaimFailed(Exception):
    """A row of a shared transaction belongs to another handling."""


class TransactionBatcher:
    """The transactions of one context."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        self._database = database
        self._inbox = inbox
        self._waiting: list[_WaitingStep] = []
        self._slots = asyncio.Semaphore(CONCURRENT_TRANSACTIONS)

    async def run(self, claimant: Claimant, function: Step, *outcome: Any) -> Any:
        """Run a step, claim its message and commit; returns its result.

        Raises what the step raises, ClaimConflict when another handling owns it, CommitInDoubt with the result.
        """
        step = _WaitingStep(claimant, function, outcome)
        self._waiting.append(step)
        async with self._slots:
            if not step.taken:
                await self._run(self._next_batch())
        return await step.done

    def _next_batch(self) -> list[_WaitingStep]:
        batch, self._waiting = self._waiting[:BATCH_SIZE], self._waiting[BATCH_SIZE:]
        for step in batch:
            step.taken = True
        return batch

    async def _run(self, batch: list[_WaitingStep]) -> None:
        try:
            if len(batch) > 1 and await self._run_shared(batch):
                return
            await asyncio.gather(*(self._run_alone(step) for step in batch))
        finally:
            for step in batch:  # only a cancelled batch leaves any
                step.done.cancel()

    async def _run_shared(self, batch: list[_WaitingStep]) -> bool:
        """Run all in one transaction; False when it was rolled back."""
        runs: list[StepRun] = []
        try:
            async with self._database.transaction() as session:
                runs = [await step.claimant.run_step(session, step.function, *step.outcome) for step in batch]
                completed = [
                    run.completed
                    for step, run in zip(batch, runs, strict=True)
                    if not step.claimant.keeps_nothing(run.result)
                ]
                if completed and not await self._inbox.finish(session, completed):
                    raise _SharedClaimFailed
                await batch[0].claimant.reach("claimed")
            await batch[0].claimant.reach("commit lost?")
        except CommitInDoubt:
            for step, run in zip(batch, runs, strict=True):
                step.end(error=CommitInDoubt(run.result))
        except CONNECTION_ERRORS as error:
            for step in batch:
                step.end(error=error)
        except Exception:
            return False
        else:
            for step, run in zip(batch, runs, strict=True):
                step.end(step.claimant.mark_committed(run))
        return True

    async def _run_alone(self, step: _WaitingStep) -> None:
        try:
            step.end(await self._run_single(step.claimant, step.function, *step.outcome))
        except Exception as error:
            step.end(error=error)

    async def _run_single(self, claimant: Claimant, function: Step, *outcome: Any) -> Any:
        run = None
        try:
            async with self._database.transaction() as session:
                run = await claimant.run_step(session, function, *outcome)
                if not claimant.keeps_nothing(run.result) and not await self._inbox.finish(session, [run.completed]):
                    row = await self._inbox.find(session, claimant.message_id)
                    assert row is not None
                    raise ClaimConflict(row)
                await claimant.reach("claimed")
            await claimant.reach("commit lost?")
        except CommitInDoubt as doubt:
            raise CommitInDoubt(run.result if run else None) from doubt
        return claimant.mark_committed(run)
