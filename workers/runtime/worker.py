"""What the author of a context uses.

    rentals = Worker("video_rental.rentals")

    @rentals.handles(CancelBooking)
    async def cancel_booking(command: CancelBooking, tx: Tx) -> Rental: ...

    @rentals.handles(BookVideo, requests=RequestPayment)
    async def book_video(command: BookVideo, tx: Tx) -> Request: ...

    @book_video.then
    async def settle_booking(command: BookVideo, outcome: PaymentState | Refused | NoReply, tx: Tx) -> Rental: ...

A step may make several requests in turn: each function that `then` registers may return the next one. After a crash the
last function alone runs, with an unknown outcome, and undoes whatever may have been begun.

A handler is called with a validated message in a transaction that the runtime commits. It refuses with what its message
declares: `raise AlreadyBooked` undoes the step and keeps the refusal, `return AlreadyBooked()` keeps both.
"""

from __future__ import annotations

from collections.abc import Iterable

from contracts.base import Message
from contracts.journal import TakeUpDeadLetter, take_up_dead_letter
from workers.runtime.processing.handlers import BaseWorker
from workers.runtime.processing.tx import Tx
from workers.runtime.processing.worker_runtime import WorkerRuntime
from workers.runtime.settings import Settings


class Worker(BaseWorker):
    """The handlers of a writing context; an operator's decision about its dead letters is one of its messages."""

    def __init__(self, name: str, *, sends: Iterable[type[Message]] = (), resolves_dead_letters: bool = True) -> None:
        super().__init__(name, sends=sends)
        if resolves_dead_letters:
            self.handles(take_up_dead_letter(name))(self._take_up_dead_letter)

    async def _take_up_dead_letter(self, command: TakeUpDeadLetter, tx: Tx) -> None:
        if command.action == "replay":
            single_start = [topic for topic, handler in self.handlers.items() if handler.starts_once]
            await tx.inbox.replay(tx, command.message_id, single_start)
        else:
            await tx.inbox.discard(tx, command.message_id, command.reason)

    def runtime(self, settings: Settings) -> WorkerRuntime:
        """This worker, ready to be started."""
        return WorkerRuntime(self, settings)
