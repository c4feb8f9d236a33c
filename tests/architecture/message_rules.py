"""Rules over the messages and their handlers; each yields one line of text for each violation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from contracts.base import Event, Message
from workers.runtime.projections.view import View
from workers.runtime.worker import Worker

Messages = dict[str, type[Message]]
Rule = Callable[[list[Worker], Messages], Iterator[str]]
RULES: dict[str, Rule] = {}

HEARD_BY_THE_JOURNAL_ONLY = {"journal.mark_set"}
"""The journal reads every event from the stream; these have no other reader."""


def rule(name: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return register


@rule("a context handles what is its own, and anybody's events")
def own(workers: list[Worker], messages: Messages) -> Iterator[str]:
    for worker, message in _handled(workers):
        if not issubclass(message, Event) and message.owner() != worker.name:
            yield f"{worker.name} handles {message.topic}"


@rule("each order and each query is obeyed or answered by exactly one context")
def obeyed(workers: list[Worker], messages: Messages) -> Iterator[str]:
    handled = [message.topic for _, message in _handled(workers)]
    for topic, message in messages.items():
        if not issubclass(message, Event) and handled.count(topic) != 1:
            yield f"{topic} has {handled.count(topic)} handlers"


@rule("each event has a reader, or is known to be the journal's alone")
def heard(workers: list[Worker], messages: Messages) -> Iterator[str]:
    handled = {message.topic for _, message in _handled(workers)}
    for topic, message in messages.items():
        if issubclass(message, Event) and (topic in handled) == (topic in HEARD_BY_THE_JOURNAL_ONLY):
            yield f"{topic} has {'readers: take it from the table' if topic in handled else 'no reader'}"


@rule("each message belongs to a context of the system")
def owned(workers: list[Worker], messages: Messages) -> Iterator[str]:
    names = {worker.name for worker in workers}
    yield from (f"{topic} belongs to nobody" for topic, message in messages.items() if message.owner() not in names)


@rule("a wire name is the context and the message in small letters")
def named(workers: list[Worker], messages: Messages) -> Iterator[str]:
    for topic, message in messages.items():
        words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in message.__name__).lstrip("_")
        if topic.rpartition(".")[2] != words:
            yield f"{message.__name__} is called {topic}"


@rule("a step that asks has a second function, and what it asks is answered")
def settled(workers: list[Worker], messages: Messages) -> Iterator[str]:
    for worker in workers:
        for handler in worker.handlers.values():
            if handler.requests is not None and handler.second is None:
                yield f"{worker.name}: {handler.name} asks and has no second function"
            if handler.requests is not None and handler.requests.delivery() != "request":
                yield f"{worker.name}: {handler.name} asks {handler.requests.topic}, which is told"


@rule("a view hears events and answers queries, and nothing else")
def views(workers: list[Worker], messages: Messages) -> Iterator[str]:
    for worker, message in _handled(workers):
        if isinstance(worker, View) and message.exchange == "yeyak.commands":
            yield f"the view {worker.name} obeys {message.topic}"


def _handled(workers: Iterable[Worker]) -> Iterator[tuple[Worker, type[Message]]]:
    return ((worker, handler.message) for worker in workers for handler in worker.handlers.values())
