"""Transactions for steps: those that arrive together share one.

Under load a transaction's round trips cost more than the step in it. So steps that wait while others are at work run in
one transaction, one after the other, and are claimed by one statement. Alone, a step is a batch of one.

A step that raises does not undo the others. The first time the whole batch runs again with a savepoint before each
step; while such steps are frequent, as in a rush for the last ticket, batches begin with savepoints. When a shared
transaction fails in another way, each of its steps runs again on its own: a handler never notices that it shared one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from storage.database import CONNECTION_ERRORS, CommitInDoubt, Database, Row, Session
from storage.inbox import CompletedStep, Inbox
from workers.runtime.cancellation import foreign_cancellation_as_error
from workers.runtime.processing.handlers import Step

CONCURRENT_TRANSACTIONS = 2
"""In one context; with more there would be nobody to share one with."""
BATCH_SIZE = 16
CAREFUL_BATCHES = 32
"""Batches with savepoints after one in which a step raised: a savepoint costs a round trip, a second run many."""


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
        self._careful = 0
        """How many of the next batches use savepoints."""

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
            waiting = [step for step in batch if not step.done.done()]
            if len(waiting) > 1 and self._careful == CAREFUL_BATCHES and await self._run_shared(waiting):
                return
            await asyncio.gather(*(self._run_alone(step) for step in batch if not step.done.done()))
        finally:
            for step in batch:  # only a cancelled batch leaves any
                step.done.cancel()

    async def _run_shared(self, batch: list[_WaitingStep]) -> bool:
        """Run all in one transaction; False when it was rolled back."""
        careful = self._careful > 0
        self._careful = max(0, self._careful - 1)
        done: list[tuple[_WaitingStep, StepRun]] = []
        try:
            with foreign_cancellation_as_error():
                await self._run_in_one_transaction(batch, careful, done)
        except CommitInDoubt:
            for step, run in done:
                step.end(error=CommitInDoubt(run.result))
        except CONNECTION_ERRORS as error:
            for step in batch:
                step.end(error=error)
        except Exception as error:
            if not careful and not isinstance(error, _SharedClaimFailed):
                self._careful = CAREFUL_BATCHES
            return False
        else:
            for step, run in done:
                step.end(step.claimant.mark_committed(run))
        return True

    async def _run_in_one_transaction(
        self, batch: list[_WaitingStep], careful: bool, done: list[tuple[_WaitingStep, StepRun]]
    ) -> None:
        async with self._database.transaction() as session:
            for step in batch:
                run = await self._run_one_of(session, step, careful)
                done += [(step, run)] if run else []
            completed = [run.completed for step, run in done if not step.claimant.keeps_nothing(run.result)]
            if completed and not await self._inbox.finish(session, completed):
                raise _SharedClaimFailed
            await batch[0].claimant.reach("claimed")
        await batch[0].claimant.reach("commit lost?")

    async def _run_one_of(self, session: Session, step: _WaitingStep, careful: bool) -> StepRun | None:
        """Run one step of a batch; with a savepoint, one that raises ends alone, and None is returned."""
        if not careful:
            return await step.claimant.run_step(session, step.function, *step.outcome)
        await session.connection.execute("savepoint step")
        try:
            return await step.claimant.run_step(session, step.function, *step.outcome)
        except (*CONNECTION_ERRORS, TimeoutError):
            raise
        except Exception as error:
            await session.connection.execute("rollback to savepoint step")
            self._careful = CAREFUL_BATCHES - 1
            step.end(error=error)
            return None

    async def _run_alone(self, step: _WaitingStep) -> None:
        try:
            with foreign_cancellation_as_error():
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
