"""Every system is complete, and whatever is taken away from one is missed by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from contracts.base import REFUSALS, Event, Words
from contracts.payments import RequestPayment
from gateway_api.app import all_routes
from ops.audit.invariant import SystemChecks
from ops.audit.registry import checks_of
from tests.architecture import completeness
from tests.architecture.completeness import (
    contexts_of,
    crash_walks,
    handlers_of,
    messages_of,
    missing,
    shown_states,
)
from tests.contracts.catalogue import SAMPLES, SCHEMAS
from workers.registry import SYSTEMS

PAGES = "gateway_api.console.businesses"
Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_is_complete(system: str) -> None:
    assert missing(system) == []


def only(rule: completeness.Rule, system: str) -> list[str]:
    return list(rule(system))


def each(facts: Callable[[str], Iterator[tuple[Any, ...]]]) -> pytest.MarkDecorator:
    """A case for each of these facts of each system."""
    cases = [(system, *fact) for system in SYSTEMS for fact in facts(system)]
    return pytest.mark.parametrize("case", cases, ids=lambda case: "-".join(map(_id, case)))


def _id(fact: object) -> str:
    return fact.__name__ if isinstance(fact, type) else str(fact)


def without(monkeypatch: Patch, system: str, **changes: Any) -> None:
    """Let the audit's declaration of a system lack something."""
    declared = replace(checks_of(system), **changes)
    monkeypatch.setattr(completeness, "checks_of", lambda _: declared)


def _modules(system: str) -> Iterator[tuple[str]]:
    yield from ((layer,) for layer in completeness.LAYERS)


@each(_modules)
def test_a_module_is_missed(case: tuple[str, str], monkeypatch: Patch) -> None:
    system, layer = case
    gone, find_spec = f"{layer.replace('/', '.')}.{system}", completeness.find_spec
    monkeypatch.setattr(completeness, "find_spec", lambda name: None if name == gone else find_spec(name))

    assert only(completeness.modules, system) == [f"{system} has no {layer}/{system}.py"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_story_is_missed(system: str, monkeypatch: Patch) -> None:
    monkeypatch.delattr(import_module(f"ops.stories.{system}"), "play")

    (sentence,) = only(completeness.story, system)
    assert f"ops/stories/{system}.py" in sentence


def _tables(system: str) -> Iterator[tuple[str, str]]:
    for context in contexts_of(system):
        yield context.name, "tables"
        if context.kind == "writer":
            yield context.name, "writers"
        if context.kind == "view":
            yield from ((context.name, "views"), (context.name, "comparisons"))


@each(_tables)
def test_a_context_that_the_audit_does_not_look_at_is_missed(case: tuple[str, str, str], monkeypatch: Patch) -> None:
    system, context, part = case
    schema, declared = context.replace(".", "_"), checks_of(system)
    less: dict[str, Any] = {
        "tables": {name: tables for name, tables in declared.tables.items() if name != schema},
        "writers": {name: own for name, own in declared.writers.items() if name != context},
        "views": [view for view in declared.views if view.schema != schema],
        "comparisons": [one for one in declared.comparisons if one.schema != schema],
    }
    without(monkeypatch, system, **{part: less[part]})

    (sentence,) = [one for one in only(completeness.audited_tables, system) if part in one]
    assert context in sentence or schema in sentence


def _publications(system: str) -> Iterator[tuple[str]]:
    schemas = tuple(f"{context.schema}." for context in contexts_of(system))
    yield from ((one.writer,) for one in checks_of(system).publications if one.writer.startswith(schemas))


@each(_publications)
def test_an_aggregate_that_the_audit_does_not_know_is_missed(case: tuple[str, str], monkeypatch: Patch) -> None:
    system, writer = case
    declared = checks_of(system).publications
    without(monkeypatch, system, publications=[one for one in declared if one.writer != writer])
    topics = {topic for one in declared if one.writer == writer for topic in one.topics}

    sentences = only(completeness.audited_aggregates, system)
    assert all(any(topic in sentence for sentence in sentences) for topic in topics)


@pytest.mark.parametrize("writer", ["payments.payments", "payments.refunds", "payments.transfers"])
def test_an_aggregate_of_payments_that_the_audit_does_not_know_is_missed(writer: str, monkeypatch: Patch) -> None:
    def less(system: str) -> SystemChecks:
        declared = checks_of(system)
        return replace(declared, publications=[one for one in declared.publications if one.writer != writer])

    assert list(completeness.audited_aggregates("payments")) == []
    monkeypatch.setattr(completeness, "checks_of", less)

    sentences = list(completeness.audited_aggregates("payments"))
    assert sentences
    assert all("the audit does not know what publishes payments." in sentence for sentence in sentences)


def _payments(system: str) -> Iterator[tuple[str, str]]:
    for context in contexts_of(system):
        if any(RequestPayment in handler.requests for handler in handlers_of(context)):
            yield from ((context.name, part) for part in ("claim_kinds", "claims"))
    if checks_of(system).fully_refunded:
        yield system, "fully_refunded"


@each(_payments)
def test_money_that_the_audit_does_not_count_is_missed(case: tuple[str, str, str], monkeypatch: Patch) -> None:
    system, context, part = case
    without(monkeypatch, system, **{part: {} if part == "claim_kinds" else []})

    sentences = only(completeness.audited_money, system)
    assert any(part in sentence and context in sentence for sentence in sentences)


def test_transfers_that_the_audit_does_not_compare_are_missed(monkeypatch: Patch) -> None:
    without(monkeypatch, "shop", comparisons=[])

    (sentence,) = only(completeness.audited_money, "shop")
    assert "shop.orders sends payments.await_transfer" in sentence


def _pending(system: str) -> Iterator[tuple[str]]:
    for context in contexts_of(system):
        for handler in handlers_of(context):
            if any(callee.exchange == "yeyak.commands" for callee in handler.requests):
                yield (handler.message.__name__,)


@each(_pending)
def test_a_pending_step_that_no_check_finds_is_missed(
    case: tuple[str, str], monkeypatch: Patch, tmp_path: Path
) -> None:
    system, message = case
    text = (completeness.ROOT / "ops" / "audit" / f"{system}.py").read_text()
    (tmp_path / "ops" / "audit").mkdir(parents=True)
    (tmp_path / "ops" / "audit" / f"{system}.py").write_text(text.replace(f"{message}.topic", "''"))
    monkeypatch.setattr(completeness, "ROOT", tmp_path)

    (sentence,) = only(completeness.audited_steps, system)
    assert "nobody settles" in sentence


def _events(system: str) -> Iterator[tuple[str]]:
    yield from ((message.__name__,) for message in messages_of(system) if issubclass(message, Event))


@each(_events)
def test_the_words_of_an_event_are_missed(case: tuple[str, str], monkeypatch: Patch) -> None:
    system, event = case
    monkeypatch.delitem(import_module(f"{PAGES}.{system}").EVENTS, event)

    sentences = only(completeness.event_words, system)
    assert sentences
    assert all("has no label in both languages" in sentence and f"{system}." in sentence for sentence in sentences)


def _states(system: str) -> Iterator[tuple[type[StrEnum], str]]:
    yield from (
        (enum, str(state))
        for enum in sorted(shown_states(system), key=lambda enum: enum.__qualname__)
        for state in enum
        if state != "NONE"
    )


@each(_states)
def test_the_words_of_a_state_are_missed(case: tuple[str, type[StrEnum], str], monkeypatch: Patch) -> None:
    system, enum, state = case
    module = import_module(f"{PAGES}.{system}")
    for table in _tables_of(module):
        monkeypatch.delitem(table, state, raising=False)

    sentences = only(completeness.state_words, system)
    assert any(enum.__name__ in sentence for sentence in sentences)


def _tables_of(module: ModuleType) -> list[dict[str, Any]]:
    return [value for value in vars(module).values() if isinstance(value, dict)]


def _refusals(system: str) -> Iterator[tuple[str, str]]:
    for code, refusal in REFUSALS.items():
        if refusal.__module__.startswith(f"contracts.{system}."):
            yield from ((code, language) for language in ("ko", "en"))


@each(_refusals)
def test_the_words_of_a_refusal_are_missed(case: tuple[str, str, str], monkeypatch: Patch) -> None:
    system, code, language = case
    monkeypatch.setattr(REFUSALS[code], language, Words("", ""))

    (sentence,) = only(completeness.refusal_words, system)
    assert f"the refusal {code} " in sentence


def _routed(system: str) -> Iterator[tuple[str]]:
    routed = {route.operation.message for route in all_routes()}
    for message in messages_of(system):
        if message in routed and "caller" in message.model_fields:
            yield (message.topic,)


@each(_routed)
def test_a_route_is_missed(case: tuple[str, str], monkeypatch: Patch) -> None:
    system, topic = case
    left = [route for route in all_routes() if route.operation.message.topic != topic]
    monkeypatch.setattr(completeness, "all_routes", lambda: left)

    (sentence,) = only(completeness.routes, system)
    assert sentence.startswith(f"{topic} has a caller and no route")


def _walked(system: str) -> Iterator[tuple[str]]:
    for context in contexts_of(system):
        if any(handler.later for handler in handlers_of(context)):
            yield (context.name,)


@each(_walked)
def test_a_context_that_is_never_killed_is_missed(case: tuple[str, str], monkeypatch: Patch) -> None:
    system, context = case
    for module in crash_walks(system):
        monkeypatch.setattr(module, "WALKED", module.WALKED - {context})

    (sentence,) = only(completeness.crash_walk, system)
    assert context in sentence


def _messages(system: str) -> Iterator[tuple[str, str]]:
    yield from ((message.topic, what) for message in messages_of(system) for what in ("sample", "schema"))


@each(_messages)
def test_a_recorded_sample_or_schema_is_missed(case: tuple[str, str, str], monkeypatch: Patch, tmp_path: Path) -> None:
    system, topic, what = case
    folder, name = (SAMPLES, "SAMPLES") if what == "sample" else (SCHEMAS, "SCHEMAS")
    for path in folder.glob(f"{system}.*.json"):
        if path.stem != topic:
            (tmp_path / path.name).touch()
    monkeypatch.setattr(completeness, name, tmp_path)

    (sentence,) = only(completeness.samples, system)
    assert sentence == f"{topic} has no recorded {what}: run `python -m tests.contracts.record`"


@pytest.mark.parametrize("system", SYSTEMS)
def test_sample_data_is_missed(system: str, monkeypatch: Patch) -> None:
    business = import_module(f"{PAGES}.{system}").business
    monkeypatch.setattr(completeness, "_business", lambda _: replace(business, samples=lambda _: ()))

    (sentence,) = only(completeness.samples, system)
    assert sentence.startswith(f"{system} has no sample data")
