"""The handlers of a bounded context, as it declares them."""

from __future__ import annotations

import typing
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any
from uuid import UUID

from contracts.base import Event, Message, Query
from contracts.journal import EntryKind
from storage.database import Session
from workers.runtime.settings import Settings

Step = Callable[..., Awaitable[Any]]
"""A handler's first or second function."""
ReadCreated = Callable[[Session, UUID], Awaitable[Any]]
ResourceOpener = Callable[[Any], AsyncIterator[Any]]
GaugeReader = Callable[[Session], Awaitable[None]]
BackgroundTask = Callable[..., Awaitable[None]]


def replay_of(find: Callable[[Session, UUID], Awaitable[Any]], answer: Callable[[Any], Any]) -> ReadCreated:
    """For `replays=`: the answer to a command, made from the current row of what it has created."""

    async def replay(session: Session, id: UUID) -> Any:
        found = await find(session, id)
        return None if found is None else answer(found)

    return replay


class Handler:
    """One message's handler: a function, or several with a request between each two."""

    def __init__(
        self,
        message: type[Message],
        first: Step,
        requests: tuple[type[Message], ...],
        read_only: bool,
        about: str | None = None,
        begins_unserved: bool = False,
        replays: ReadCreated | None = None,
    ) -> None:
        self.message = message
        self.first = first
        self.requests = requests
        self.read_only = read_only
        """The first function writes nothing, so there is no pending state to resume."""
        self.about = about
        self.begins_unserved = begins_unserved
        """The first function runs although nothing serves its request: what it wrote stays as a trace."""
        self.replays = replays
        """Reads what an earlier handling of the message has created, long after its answer was forgotten."""
        self.later: list[Step] = []
        """The functions after the first, each called with the outcome of the request before it."""

    def then(self, function: Step) -> Step:
        """Register the next function: called with the message, the outcome and a new transaction.

        Each but the last may return another request. After a crash the last one alone runs, with an unknown outcome: it
        undoes whatever may have been begun. Raises TypeError for a third function of a handler that begins read-only.
        """
        if self.read_only and self.later:
            raise TypeError(f"{self.name} begins read-only: what would undo its second request?")
        self.later.append(function)
        return function

    @property
    def name(self) -> str:
        return self.first.__name__

    @property
    def is_query(self) -> bool:
        return issubclass(self.message, Query)

    @property
    def starts_once(self) -> bool:
        """A request in several functions: once started it can only be settled, never started again."""
        return bool(self.later) and self.message.delivery() == "request"

    @property
    def kind(self) -> EntryKind:
        """The kind of its entries in the journal."""
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


class BaseWorker(ABC):
    """The declaration of one bounded context, named like its schema and its wire names."""

    def __init__(self, name: str, *, sends: Iterable[type[Message]] = ()) -> None:
        self.name = name
        self.sends = tuple(sends)
        """Commands and queries that it sends besides what its steps request: the broker permits no other."""
        self.handlers: dict[str, Handler] = {}
        self.openers: dict[type, ResourceOpener] = {}
        self.background: list[tuple[float, BackgroundTask]] = []
        self.gauges: list[GaugeReader] = []

    @property
    def schema(self) -> str:
        """The PostgreSQL schema of this context."""
        return self.name.replace(".", "_")

    def handles(
        self,
        message: type[Message],
        *,
        requests: type[Message] | tuple[type[Message], ...] = (),
        read_only: bool = False,
        about: str | None = None,
        begins_unserved: bool = False,
        replays: ReadCreated | None = None,
    ) -> Callable[[Step], Handler]:
        """Handle a message.

        `requests` names what the step requests between its functions. While nothing serves that, a request is
        answered *unavailable* and nothing is begun; with `begins_unserved` the step is begun, and its second function
        settles what the first wrote, as after a request without a reply. `about` lets only those events through that
        are about this context, or about none. `replays(session, id)` is for a command that creates something under its
        own id: it reads the answer from what is there, None if there is nothing.
        Raises TypeError for a message of another context, or one handled twice.
        """
        if not issubclass(message, Event) and message.owner() != self.name:
            raise TypeError(f"{message.topic} belongs to {message.owner()}, not to {self.name}")
        if message.topic in self.handlers:
            raise TypeError(f"{self.name} handles {message.topic} twice")

        callees = requests if isinstance(requests, tuple) else (requests,)

        def register(first: Step) -> Handler:
            handler = self.handlers[message.topic] = Handler(
                message, first, callees, read_only, about, begins_unserved, replays
            )
            return handler

        return register

    def resource(self, opener: ResourceOpener) -> ResourceOpener:
        """Register what handlers use: opened when the context starts, closed when it stops; see `tx.resource`."""
        (kind,) = typing.get_args(typing.get_type_hints(opener)["return"])
        self.openers[kind] = opener
        return opener

    def every(self, seconds: float) -> Callable[[BackgroundTask], BackgroundTask]:
        """Run `function(runtime)` again and again while the context runs."""

        def register(function: BackgroundTask) -> BackgroundTask:
            self.background.append((seconds, function))
            return function

        return register

    def gauge(self, reader: GaugeReader) -> GaugeReader:
        """Run `reader(session)` when the metrics are read; it sets gauges."""
        self.gauges.append(reader)
        return reader

    @abstractmethod
    def runtime(self, settings: Settings) -> Any:
        """This context, ready to be started: a `WorkerRuntime`."""

    def queues(self) -> dict[str, Handler]:
        """The queues that this context consumes, each with the handler of its messages."""
        return {f"{topic}@{self.name}": handler for topic, handler in self.handlers.items()}
