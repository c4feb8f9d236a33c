"""The broker permissions that each account needs, derived from handlers, published events and gateway routes."""

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
from gateway_api.console.ended_sessions import ROUTING_KEY
from ops.accounts.files import GATEWAY, OPERATOR
from workers.runtime.messaging.exchanges import DEAD, EVENTS, SESSION_STREAM, SESSIONS, STREAM
from workers.runtime.messaging.topology import DEAD_QUEUE
from workers.runtime.processing.handlers import BaseWorker, Handler
from workers.runtime.projections.view import View

JOURNAL = "journal"
LIVE_QUEUES = r"yeyak\.live\..+"
"""The gateway's temporary queues of events for live pages in the console."""
OPERATOR_CLIENT_NAMES = ("ops", "rebuild", "check-env", "audit")
OPERATOR_MESSAGES = (
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
    client_names: tuple[str, ...]
    """The names of its clients, which prefix their reply queues."""
    sends: Topics
    binds: Topics = field(default_factory=dict)
    own_queues: tuple[str, ...] = ()
    """Queues that it reads and binds; the topology declares them."""
    declared_queues: tuple[str, ...] = ()
    """Queues that it declares, reads and binds itself."""
    read_queues: tuple[str, ...] = ()
    """Queues that it only reads."""
    sends_replies: bool = False
    tags: str = ""

    @property
    def reply_queues(self) -> list[str]:
        return [rf"{re.escape(name)}\.[0-9a-f-]{{36}}@replies" for name in self.client_names]


def accounts(workers: Iterable[BaseWorker]) -> list[Account]:
    """Return the accounts of all contexts, the gateway and the operator."""
    system = list(workers)
    return [*(_of_worker(worker, system) for worker in system), _gateway(), _operator()]


def _of_worker(worker: BaseWorker, system: list[BaseWorker]) -> Account:
    sent, journal = list(_sent_by(worker)), worker.name == JOURNAL
    if journal:
        sent += [
            handler.message for each in system for handler in each.handlers.values() if _replays_dead_letters(handler)
        ]
    return Account(
        name=worker.name,
        client_names=(worker.name,),
        sends=_topics(sent) | {DEAD: frozenset(map(re.escape, worker.handlers))},
        binds=_merged((handler.message.exchange, map(re.escape, handler.keys)) for handler in worker.handlers.values()),
        own_queues=(f"[^@]+@{re.escape(worker.name)}",),
        read_queues=(re.escape(STREAM), re.escape(DEAD_QUEUE)) if journal else (),
        sends_replies=True,
    )


def _sent_by(worker: BaseWorker) -> Iterable[type[Message]]:
    """Its events, its steps' requests, the commands that it declares, and the runtime's reports to the journal."""
    yield from (message for message in CATALOGUE.values() if issubclass(message, Event) and _owns(worker, message))
    yield from (callee for handler in worker.handlers.values() for callee in handler.requests)
    yield from worker.sends
    yield RecordHandled
    if not isinstance(worker, View):
        yield FileDeadLetter


def _replays_dead_letters(handler: Handler) -> bool:
    return issubclass(handler.message, TakeUpDeadLetter)


def _owns(worker: BaseWorker, message: type[Message]) -> bool:
    return message.owner() == worker.name


def _gateway() -> Account:
    return Account(
        name=GATEWAY,
        client_names=(GATEWAY,),
        sends=_topics(_sent_by_gateway()) | {SESSIONS: frozenset({ROUTING_KEY})},
        binds={EVENTS: frozenset({".*"})},
        declared_queues=(LIVE_QUEUES,),
        read_queues=(re.escape(SESSION_STREAM),),
        tags="management",
    )


def _sent_by_gateway() -> Iterator[type[Message]]:
    """The commands and queries that the gateway's modules import: a route may fall back to another than its own."""
    known = set(CATALOGUE.values())
    for name, module in tuple(sys.modules.items()):
        if name.startswith(f"{gateway_api.__name__}."):
            found = (thing for thing in vars(module).values() if isinstance(thing, type) and thing in known)
            yield from (message for message in found if not issubclass(message, Event))


def _operator() -> Account:
    return Account(
        name=OPERATOR,
        client_names=OPERATOR_CLIENT_NAMES,
        sends=_topics(OPERATOR_MESSAGES),
        read_queues=(re.escape(STREAM),),
        tags="monitoring",
    )


def _topics(messages: Iterable[type[Message]]) -> dict[str, frozenset[str]]:
    return _merged((message.exchange, [_routing_key(message)]) for message in messages)


def _routing_key(message: type[Message]) -> str:
    """A regular expression of the routing keys of a message."""
    about = rf"(\.{CONTEXT_NAME})?" if issubclass(message, Event) and message.about else ""
    return re.escape(message.topic) + about


def _merged(found: Iterable[tuple[str, Iterable[str]]]) -> dict[str, frozenset[str]]:
    merged: dict[str, frozenset[str]] = {}
    for exchange, keys in found:
        merged[exchange] = merged.get(exchange, frozenset()) | frozenset(keys)
    return merged
