"""A context's handlers, declared.

    rentals = Worker("video_rental.rentals")

    @rentals.handles(CancelBooking)
    async def cancel_booking(command: CancelBooking, tx: Tx) -> Rental: ...

    @rentals.handles(BookVideo, requests=RequestPayment)
    async def book_video(command: BookVideo, tx: Tx) -> Request: ...

    @book_video.then
    async def settle_booking(command: BookVideo, outcome: Outcome, tx: Tx) -> Rental | Refused: ...

A handler is called with a message that was read, in a transaction that the runtime commits. `raise Refused` undoes
the step and keeps the refusal, `return Refused` keeps both.
"""

from __future__ import annotations

import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from contracts.base import Event, Message, Query
from contracts.journal import EntryKind, TakeUpDeadLetter, take_up_dead_letter
from storage.database import Session
from workers.runtime.processing.tx import Tx
from workers.runtime.settings import Settings

if TYPE_CHECKING:
    from workers.runtime.processing.worker_runtime import WorkerRuntime

First = Callable[..., Awaitable[Any]]
Opener = Callable[[Settings], AsyncIterator[Any]]
Gauged = Callable[[Session], Awaitable[None]]


class Handler:
    """One message's handler: a function, or two around an ask."""

    def __init__(
        self,
        message: type[Message],
        first: First,
        requests: type[Message] | None,
        read_only: bool,
        about: str | None = None,
    ) -> None:
        self.message = message
        self.first = first
        self.requests = requests
        self.read_only = read_only
        """The first function writes nothing: the ask is only a look, and nothing is to be taken up again."""
        self.about = about
        self.second: First | None = None

    def then(self, second: First) -> First:
        """The function that settles: called with the message, the outcome and a new transaction."""
        self.second = second
        return second

    @property
    def name(self) -> str:
        return self.first.__name__

    @property
    def is_query(self) -> bool:
        return issubclass(self.message, Query)

    @property
    def is_begun_once(self) -> bool:
        """Asked, and in two functions: what is kept of it has begun, and can only be settled."""
        return self.second is not None and self.message.delivery() == "request"

    @property
    def kind(self) -> EntryKind:
        """As the journal calls it."""
        if self.is_query:
            return "question"
        return "event" if issubclass(self.message, Event) else "command"

    @property
    def keys(self) -> list[str]:
        """The routing keys that bring this message."""
        topic = self.message.topic
        if not issubclass(self.message, Event) or self.message.about is None:
            return [topic]
        return [f"{topic}.#"] if self.about is None else [topic, f"{topic}.{self.about}"]


class Worker:
    """The handlers of one bounded context, named like its schema and its wire names."""

    def __init__(self, name: str, *, sends: Iterable[type[Message]] = (), resolves_dead_letters: bool = True) -> None:
        self.name = name
        self.sends = tuple(sends)
        """Orders to others and queries, besides what its handlers ask: the broker lets it say nothing else."""
        self.handlers: dict[str, Handler] = {}
        self.openers: dict[type, Opener] = {}
        self.loops: list[tuple[float, Callable[..., Awaitable[None]]]] = []
        self.gauges: list[Gauged] = []
        if resolves_dead_letters:
            self.handles(take_up_dead_letter(name))(self._take_up_dead_letter)

    async def _take_up_dead_letter(self, command: TakeUpDeadLetter, tx: Tx) -> None:
        if command.action == "replay":
            begun = [topic for topic, handler in self.handlers.items() if handler.is_begun_once]
            await tx.inbox.replay(tx, command.message_id, begun)
        else:
            await tx.inbox.discard(tx, command.message_id, command.reason)

    @property
    def schema(self) -> str:
        """The PostgreSQL schema of this context."""
        return self.name.replace(".", "_")

    def handles(
        self,
        message: type[Message],
        *,
        requests: type[Message] | None = None,
        read_only: bool = False,
        about: str | None = None,
    ) -> Callable[[First], Handler]:
        """Handle a message.

        `requests` names what the step asks between its two functions; `about` keeps events away that are about another
        context, and lets those through that are about none.
        """
        if not issubclass(message, Event) and message.owner() != self.name:
            raise TypeError(f"{message.topic} belongs to {message.owner()}, not to {self.name}")
        if message.topic in self.handlers:
            raise TypeError(f"{self.name} handles {message.topic} twice")

        def register(first: First) -> Handler:
            handler = self.handlers[message.topic] = Handler(message, first, requests, read_only, about)
            return handler

        return register

    def resource(self, opener: Opener) -> Opener:
        """Something that handlers use, opened when the context starts and closed when it stops; see `tx.resource`."""
        (kind,) = typing.get_args(typing.get_type_hints(opener)["return"])
        self.openers[kind] = opener
        return opener

    def every(self, seconds: float) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., Awaitable[None]]]:
        """Run `function(context)` again and again while the context runs."""

        def register(function: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
            self.loops.append((seconds, function))
            return function

        return register

    def gauge(self, look: Gauged) -> Gauged:
        """Run `look(session)` when somebody reads the metrics; it sets gauges."""
        self.gauges.append(look)
        return look

    def runtime(self, settings: Settings) -> WorkerRuntime:
        """This worker, ready to be started."""
        from workers.runtime.processing.worker_runtime import WorkerRuntime

        return WorkerRuntime(self, settings)

    def queues(self) -> dict[str, Handler]:
        """The queues that this context reads, with who handles what travels in each."""
        return {f"{topic}@{self.name}": handler for topic, handler in self.handlers.items()}
