"""What each account needs of the broker, from what the workers handle and say and what the gateway's routes ask."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import gateway_api.app
from contracts.base import CATALOGUE, Event, Message
from contracts.journal import (
    FileDeadLetter,
    FindMark,
    ListDeadLetters,
    MarkSet,
    ReadEvents,
    RecordAudit,
    RecordHandled,
    ResolveDeadLetter,
    ShowDeadLetter,
    TakeUpDeadLetter,
    TellStory,
)
from ops.accounts.files import GATEWAY, OPERATOR
from workers.runtime.messaging.exchanges import DEAD, EVENTS
from workers.runtime.messaging.topology import DEAD_QUEUE, STREAM
from workers.runtime.processing.handlers import BaseWorker, Handler
from workers.runtime.projections.view import View

JOURNAL = "journal"
LIVE_QUEUES = r"yeyak\.live\..+"
"""The gateway's own queues of events, for who watches the system in a browser."""
OPERATORS_NAMES = ("ops", "rebuild", "check-env", "audit")
OPERATORS_ORDERS = (
    ListDeadLetters,
    ShowDeadLetter,
    ResolveDeadLetter,
    TellStory,
    ReadEvents,
    RecordAudit,
    FindMark,
    MarkSet,
)
CONTEXT_NAME = "[a-z_.]+"

Topics = Mapping[str, frozenset[str]]
"""Regular expressions of routing keys, by exchange."""


@dataclass(frozen=True)
class Account:
    """One user of the broker; queues are regular expressions of their names."""

    name: str
    speaks_as: tuple[str, ...]
    """Whose reply queues it has."""
    sends: Topics
    receives: Topics = field(default_factory=dict)
    keeps: tuple[str, ...] = ()
    """Queues of its own, which it reads and binds; the topology makes them."""
    makes: tuple[str, ...] = ()
    """Queues that it makes, reads and binds."""
    reads: tuple[str, ...] = ()
    """Queues that it reads and nothing more."""
    answers: bool = False
    tags: str = ""

    @property
    def reply_queues(self) -> list[str]:
        return [rf"{re.escape(name)}\.[0-9a-f-]{{36}}@replies" for name in self.speaks_as]


def accounts(workers: Iterable[BaseWorker]) -> list[Account]:
    """Everybody who connects to the broker."""
    system = list(workers)
    return [*(_of_worker(worker, system) for worker in system), _gateway(), _operator()]


def _of_worker(worker: BaseWorker, system: list[BaseWorker]) -> Account:
    said, journal = list(_said(worker)), worker.name == JOURNAL
    if journal:
        said += [handler.message for each in system for handler in each.handlers.values() if _takes_up(handler)]
    return Account(
        name=worker.name,
        speaks_as=(worker.name,),
        sends=_topics(said) | {DEAD: frozenset(map(re.escape, worker.handlers))},
        receives=_gathered(
            (handler.message.exchange, map(re.escape, handler.keys)) for handler in worker.handlers.values()
        ),
        keeps=(f"[^@]+@{re.escape(worker.name)}",),
        reads=(re.escape(STREAM), re.escape(DEAD_QUEUE)) if journal else (),
        answers=True,
    )


def _said(worker: BaseWorker) -> Iterable[type[Message]]:
    """Its own events, what its steps ask, the orders that it declares, and what every runtime tells the journal."""
    yield from (message for message in CATALOGUE.values() if issubclass(message, Event) and _owns(worker, message))
    yield from (handler.requests for handler in worker.handlers.values() if handler.requests)
    yield from worker.sends
    yield RecordHandled
    if not isinstance(worker, View):
        yield FileDeadLetter


def _takes_up(handler: Handler) -> bool:
    return issubclass(handler.message, TakeUpDeadLetter)


def _owns(worker: BaseWorker, message: type[Message]) -> bool:
    return message.owner() == worker.name


def _gateway() -> Account:
    return Account(
        name=GATEWAY,
        speaks_as=(GATEWAY,),
        sends=_topics(_asked_at_the_door()),
        receives={EVENTS: frozenset({".*"})},
        makes=(LIVE_QUEUES,),
        tags="management",
    )


def _asked_at_the_door() -> Iterator[type[Message]]:
    """What the gateway's modules import to ask it: a route may fall back to another query than its own."""
    known = set(CATALOGUE.values())
    for name, module in tuple(sys.modules.items()):
        if name.startswith(f"{gateway_api.__name__}."):
            found = (thing for thing in vars(module).values() if isinstance(thing, type) and thing in known)
            yield from (message for message in found if message.delivery() == "request")


def _operator() -> Account:
    return Account(
        name=OPERATOR,
        speaks_as=OPERATORS_NAMES,
        sends=_topics(OPERATORS_ORDERS),
        reads=(re.escape(STREAM),),
        tags="monitoring",
    )


def _topics(messages: Iterable[type[Message]]) -> dict[str, frozenset[str]]:
    return _gathered((message.exchange, [_keys(message)]) for message in messages)


def _keys(message: type[Message]) -> str:
    """The routing keys under which a message may be said."""
    about = rf"(\.{CONTEXT_NAME})?" if issubclass(message, Event) and message.about else ""
    return re.escape(message.topic) + about


def _gathered(found: Iterable[tuple[str, Iterable[str]]]) -> dict[str, frozenset[str]]:
    gathered: dict[str, frozenset[str]] = {}
    for exchange, keys in found:
        gathered[exchange] = gathered.get(exchange, frozenset()) | frozenset(keys)
    return gathered
