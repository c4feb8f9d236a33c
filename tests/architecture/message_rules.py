"""Rules over the messages and their handlers; each yields one line of text for each violation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pkgutil import walk_packages

import contracts
from contracts.base import Event, Message
from workers.runtime.projections.view import View
from workers.runtime.worker import Worker

Messages = dict[str, type[Message]]
Rule = Callable[[list[Worker], Messages], Iterator[str]]
RULES: dict[str, Rule] = {}

HANDLED_BY_THE_JOURNAL_ONLY = {
    event.topic
    for module in walk_packages(contracts.__path__, "contracts.")
    for event in getattr(import_module(module.name), "JOURNAL_ONLY", ())
}
"""The journal reads every event from the stream; these have no other handler, as JOURNAL_ONLY of a context says."""


def rule(name: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return register


@rule("a context handles its own messages and any events")
def own_messages(workers: list[Worker], messages: Messages) -> Iterator[str]:
    for worker, message in _handled(workers):
        if not issubclass(message, Event) and message.owner() != worker.name:
            yield f"{worker.name} handles {message.topic}"


@rule("each command and each query has exactly one handler")
def one_handler(workers: list[Worker], messages: Messages) -> Iterator[str]:
    handled = [message.topic for _, message in _handled(workers)]
    for topic, message in messages.items():
        if not issubclass(message, Event) and handled.count(topic) != 1:
            yield f"{topic} has {handled.count(topic)} handlers"


@rule("each event has a handler, or is listed as the journal's only")
def handled_events(workers: list[Worker], messages: Messages) -> Iterator[str]:
    handled = {message.topic for _, message in _handled(workers)}
    for topic, message in messages.items():
        if issubclass(message, Event) and (topic in handled) == (topic in HANDLED_BY_THE_JOURNAL_ONLY):
            yield f"{topic} has {'handlers: remove it from the table' if topic in handled else 'no handler'}"


@rule("each message belongs to a context of the system")
def known_owner(workers: list[Worker], messages: Messages) -> Iterator[str]:
    names = {worker.name for worker in workers}
    yield from (f"{topic} belongs to no context" for topic, message in messages.items() if message.owner() not in names)


@rule("a topic is the name of the context and the class name in snake case")
def topics(workers: list[Worker], messages: Messages) -> Iterator[str]:
    for topic, message in messages.items():
        words = "".join(f"_{char.lower()}" if char.isupper() else char for char in message.__name__).lstrip("_")
        if topic.rpartition(".")[2] != words:
            yield f"{message.__name__} has the topic {topic}"


@rule("a handler that sends a request has a second function, and the message is a request")
def requests(workers: list[Worker], messages: Messages) -> Iterator[str]:
    for worker in workers:
        for handler in worker.handlers.values():
            if handler.requests and not handler.later:
                yield f"{worker.name}: {handler.name} sends a request and has no second function"
            for callee in handler.requests:
                if callee.delivery() != "request":
                    yield f"{worker.name}: {handler.name} requests {callee.topic}, which is durable"


@rule("a view handles events and queries only")
def view_messages(workers: list[Worker], messages: Messages) -> Iterator[str]:
    for worker, message in _handled(workers):
        if isinstance(worker, View) and message.exchange == "yeyak.commands":
            yield f"the view {worker.name} handles {message.topic}"


def _handled(workers: Iterable[Worker]) -> Iterator[tuple[Worker, type[Message]]]:
    return ((worker, handler.message) for worker in workers for handler in worker.handlers.values())
