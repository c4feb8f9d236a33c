"""The system follows every message rule, and each rule reports the violation that it is for."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from contracts.base import Command, Event, Message, Shape
from tests.architecture import message_rules as rules
from tests.architecture.message_rules import RULES, Messages
from tests.contracts.catalogue import messages
from workers.registry import CONTEXTS, workers
from workers.runtime.projections.view import View
from workers.runtime.worker import Worker


class Baked(Shape):
    bread: str


class BakeBread(Command[Baked]):
    pass


class BreadBaked(Event):
    pass


class SellBread(Command[None]):
    pass


def named(message: type[Message], topic: str) -> type[Message]:
    """Return a message class with a topic, without entering it into the system's catalogue."""
    made: type[Message] = type(message.__name__, (message,), {"__module__": __name__})
    made.topic = topic
    return made


BAKE, BAKED, SELL = (
    named(BakeBread, "bakery.ovens.bake_bread"),
    named(BreadBaked, "bakery.ovens.bread_baked"),
    named(SellBread, "bakery.sales.sell_bread"),
)


async def nothing(*_: Any) -> None:
    """A handler."""


class SmallSystem:
    """A made-up system of two contexts and a view that follows the rules."""

    def __init__(self) -> None:
        self.ovens, self.sales = (
            Worker("bakery.ovens", resolves_dead_letters=False),
            Worker("bakery.sales", resolves_dead_letters=False),
        )
        self.view = View("bakery.window", Mock(projections=[]))
        self.ovens.handles(BAKE)(nothing)
        self.sales.handles(SELL, requests=BAKE)(nothing).then(nothing)
        self.sales.handles(BAKED)(nothing)
        self.messages: Messages = {message.topic: message for message in (BAKE, BAKED, SELL)}

    def violations(self, rule: rules.Rule) -> list[str]:
        return list(rule([self.ovens, self.sales, self.view], self.messages))

    def force(self, worker: Worker, message: type[Message]) -> None:
        """Add a handler that `Worker.handles` would refuse."""
        worker.handlers[message.topic] = type(self.ovens.handlers[BAKE.topic])(message, nothing, None, False)

    def forget(self, worker: Worker, message: type[Message]) -> None:
        del worker.handlers[message.topic]


@pytest.mark.parametrize("name", RULES)
def test_the_system_follows_the_rule(name: str) -> None:
    assert list(RULES[name](workers(), messages())) == []


@pytest.mark.parametrize("name", RULES)
def test_a_small_system_in_good_order_follows_the_rule(name: str) -> None:
    assert SmallSystem().violations(RULES[name]) == []


def test_a_handler_of_another_contexts_command_is_reported() -> None:
    system = SmallSystem()
    system.force(system.sales, BAKE)

    assert system.violations(rules.own_messages) == ["bakery.sales handles bakery.ovens.bake_bread"]


def test_a_command_with_two_handlers_or_none_is_reported() -> None:
    system = SmallSystem()
    system.force(system.sales, BAKE)
    system.forget(system.sales, SELL)

    assert system.violations(rules.one_handler) == [
        "bakery.ovens.bake_bread has 2 handlers",
        "bakery.sales.sell_bread has 0 handlers",
    ]


def test_an_event_without_a_handler_is_reported() -> None:
    system = SmallSystem()
    system.forget(system.sales, BAKED)

    assert system.violations(rules.handled_events) == ["bakery.ovens.bread_baked has no handler"]


def test_an_exception_that_is_no_longer_needed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "HANDLED_BY_THE_JOURNAL_ONLY", {BAKED.topic})

    assert SmallSystem().violations(rules.handled_events) == [
        "bakery.ovens.bread_baked has handlers: remove it from the table"
    ]


def test_a_message_of_an_unknown_context_is_reported() -> None:
    system = SmallSystem()
    system.messages["laundry.bread_baked"] = named(BreadBaked, "laundry.bread_baked")

    assert system.violations(rules.known_owner) == ["laundry.bread_baked belongs to no context"]


def test_a_topic_that_does_not_spell_its_class_is_reported() -> None:
    system = SmallSystem()
    system.messages["bakery.ovens.baked"] = named(BreadBaked, "bakery.ovens.baked")

    assert system.violations(rules.topics) == ["BreadBaked has the topic bakery.ovens.baked"]


def test_a_request_without_a_second_function_or_of_a_durable_message_is_reported() -> None:
    system = SmallSystem()
    system.ovens.handlers[BAKE.topic].requests = (SELL,)

    assert system.violations(rules.requests) == [
        "bakery.ovens: nothing sends a request and has no second function",
        "bakery.ovens: nothing requests bakery.sales.sell_bread, which is durable",
    ]


def test_a_view_that_handles_commands_is_reported() -> None:
    system = SmallSystem()
    system.force(system.view, BAKE)

    assert system.violations(rules.view_messages) == ["the view bakery.window handles bakery.ovens.bake_bread"]


def test_each_worker_has_the_name_of_its_context() -> None:
    assert [worker.name for worker in workers()] == list(CONTEXTS)


def test_a_handler_of_another_contexts_command_cannot_be_declared() -> None:
    with pytest.raises(TypeError, match=r"belongs to bakery\.ovens"):
        Worker("bakery.sales", resolves_dead_letters=False).handles(BAKE)
