"""What each context and each system must have, beyond what its own code needs to run.

`python -m tests.architecture.completeness [system]` prints a sentence for each thing that is missing. A rule yields the
sentences about one system; each names what is missing, and the file where it belongs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from pydantic import BaseModel

from contracts.base import REFUSALS, Command, Event, Message, Shape
from contracts.payments import RefundRest, RequestPayment, VoidPayment
from contracts.systems import SYSTEMS as CONTRACTS
from contracts.transfers import AwaitTransfer
from gateway_api.app import all_routes
from ops.audit.invariant import SystemChecks
from ops.audit.registry import checks_of
from ops.checks import LAYERS
from tests.contracts.catalogue import SAMPLES, SCHEMAS, messages
from workers.registry import REGISTRY, SYSTEMS, Context, worker
from workers.runtime.processing.handlers import Handler

Rule = Callable[[str], Iterator[str]]
RULES: list[Rule] = []
ROOT = Path(__file__).parents[2]
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
HANGUL = re.compile("[가-힣]")


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


def contexts_of(system: str) -> list[Context]:
    return [context for context in REGISTRY if context.system == system]


def messages_of(system: str) -> list[type[Message]]:
    return [message for topic, message in messages().items() if topic.partition(".")[0] == system]


def handlers_of(context: Context) -> list[Handler]:
    return list(worker(context.name).handlers.values())


def module_of(package: str, system: str) -> ModuleType | None:
    name = f"{package}.{system}"
    return import_module(name) if find_spec(name) else None


@rule
def modules(system: str) -> Iterator[str]:
    """Each system has a module in each layer, and the registry and the contracts know the same systems."""
    for layer in LAYERS:
        if find_spec(f"{layer.replace('/', '.')}.{system}") is None:
            yield f"{system} has no {layer}/{system}.py"
    if system not in CONTRACTS:
        yield f"{system} is in workers/registry.py, and contracts/{system}/__init__.py has no POSITION for it"


@rule
def story(system: str) -> Iterator[str]:
    """Each system has a story that `yeyak demo` plays."""
    module = module_of("ops.stories", system)
    if not hasattr(module, "play") or not getattr(module, "TITLE", ""):
        yield f"{system} has no story: ops/stories/{system}.py declares TITLE and play()"


@rule
def audited_tables(system: str) -> Iterator[str]:
    """The audit reads the tables of each context, and compares each view with its writers."""
    declared, file = checks_of(system), f"ops/audit/{system}.py"
    compared = {one.schema for one in declared.comparisons}
    for context in contexts_of(system):
        if context.schema not in declared.tables:
            yield f"the audit reads no table of {context.name}: add {context.schema} to `tables` in {file}"
        if context.kind == "writer" and context.name not in declared.writers:
            yield f"the audit does not know the inbox of {context.name}: add it to `writers` in {file}"
        if context.kind == "view" and context.schema not in {view.schema for view in declared.views}:
            yield f"the audit does not know the view {context.name}: add it to `views` in {file}"
        if context.kind == "view" and context.schema not in compared:
            yield f"the audit compares no table of the view {context.name}: add it to `comparisons` in {file}"


@rule
def audited_aggregates(system: str) -> Iterator[str]:
    """Each version of an aggregate's state is published; an event without a state is about none.

    A business may declare what a service publishes for it alone, as the shop does with transfers.
    """
    published = {topic for one in (system, *SYSTEMS) for each in checks_of(one).publications for topic in each.topics}
    for message in messages_of(system):
        if _has_state(message) and message.topic not in published:
            yield f"the audit does not know what publishes {message.topic}: see `publications` in ops/audit/{system}.py"


def _has_state(message: type[Message]) -> bool:
    plain = (Event, Message, Shape)
    states = [base for base in message.__mro__ if issubclass(base, Shape) and not issubclass(base, Message)]
    return issubclass(message, Event) and any(base not in plain for base in states)


@rule
def audited_money(system: str) -> Iterator[str]:
    """The audit knows each payment that a context requests, and what its refunds and transfers are for."""
    declared, file = checks_of(system), f"ops/audit/{system}.py"
    claims = " ".join(declared.claims)
    for context in contexts_of(system):
        sent = {*worker(context.name).sends, *(callee for one in handlers_of(context) for callee in one.requests)}
        if RequestPayment in sent and context.name not in declared.claim_kinds:
            yield f"{context.name} sends {RequestPayment.topic}: add its purpose to `claim_kinds` in {file}"
        if RequestPayment in sent and f"<{context.schema}." not in claims:
            yield f"{context.name} sends {RequestPayment.topic}: select its payments in `claims` in {file}"
        if VoidPayment in sent and "'void'" not in claims:
            yield f"{context.name} sends {VoidPayment.topic}: no claim in {file} says which payments are void"
        if RefundRest in sent and not declared.fully_refunded:
            yield f"{context.name} sends {RefundRest.topic}: name what is refunded in `fully_refunded` in {file}"
        if AwaitTransfer in sent and not _compares(declared, "payments.transfers"):
            yield f"{context.name} sends {AwaitTransfer.topic}: compare payments.transfers in {file}"


def _compares(declared: SystemChecks, table: str) -> bool:
    return any(one.writer == table for one in declared.comparisons)


@rule
def audited_steps(system: str) -> Iterator[str]:
    """What is left pending between the functions of a step has a step that will finish it.

    A step that only requests a query has changed nothing yet.
    """
    source = ROOT / "ops" / "audit" / f"{system}.py"
    text = source.read_text() if source.exists() else ""
    checked = {one.topic for one in checks_of(system).unfinished}
    for context in contexts_of(system):
        for handler in handlers_of(context):
            pending = any(callee.exchange == Command.exchange for callee in handler.requests)
            named = handler.message.topic in checked or f"{handler.message.__name__}.topic" in text
            if pending and not named:
                yield f"no check in ops/audit/{system}.py finds a {handler.message.topic} that nobody settles"


@rule
def event_words(system: str) -> Iterator[str]:
    """Each event has a label in both languages."""
    business = _business(system)
    labels = business.events if business else {}
    for message in messages_of(system):
        if issubclass(message, Event):
            text = labels.get(message.__name__)
            if text is None or not HANGUL.search(text.ko) or not text.en or HANGUL.search(text.en):
                yield f"{message.topic} has no label in both languages: see EVENTS in {_page(system)}"


@rule
def state_words(system: str) -> Iterator[str]:
    """Each state that a query shows has a label in both languages."""
    module = module_of("gateway_api.console.businesses", system)
    tables = [value for value in vars(module).values() if isinstance(value, dict)] if module else []
    for enum in sorted(shown_states(system), key=lambda enum: enum.__qualname__):
        shown = {str(state) for state in enum} - {"NONE"}
        if not any(shown <= {str(key) for key in table} and _bilingual(table) for table in tables):
            yield f"the states of {enum.__module__}.{enum.__name__} have no labels in both languages in {_page(system)}"


def shown_states(system: str) -> set[type[StrEnum]]:
    """The enumerations of this system that a field `status` of an answer to people has."""
    routed = {route.operation.message for route in all_routes()}
    found: set[type[StrEnum]] = set()
    for message in messages_of(system):
        if message in routed and message.answer is not None:
            found |= {enum for enum in _statuses(message.answer) if enum.__module__.startswith(f"contracts.{system}.")}
    return found


def _statuses(shape: Any, *, is_status: bool = False) -> Iterator[type[StrEnum]]:
    if isinstance(shape, type) and issubclass(shape, StrEnum):
        if is_status:
            yield shape
    elif isinstance(shape, type) and issubclass(shape, BaseModel):
        for name, field in shape.model_fields.items():
            yield from _statuses(field.annotation, is_status=name == "status" or name.endswith("_status"))
    for part in get_args(shape):
        yield from _statuses(part, is_status=is_status)


def _bilingual(table: dict[Any, Any]) -> bool:
    return all(HANGUL.search(getattr(text, "ko", "")) and getattr(text, "en", "") for text in table.values())


@rule
def refusal_words(system: str) -> Iterator[str]:
    """Each refusal that the system declares is told in both languages."""
    for code, refusal in REFUSALS.items():
        if refusal.__module__.startswith(f"contracts.{system}."):
            in_korean = all(map(HANGUL.search, refusal.ko))
            if not in_korean or not all(refusal.en) or any(map(HANGUL.search, refusal.en)):
                yield f"the refusal {code} of {refusal.__module__} has no words in both languages"


@rule
def routes(system: str) -> Iterator[str]:
    """Whatever has a caller can be sent by a person."""
    routed = {route.operation.message for route in all_routes()}
    for message in messages_of(system):
        if "caller" in message.model_fields and message not in routed:
            yield f"{message.topic} has a caller and no route: declare one with @sends in gateway_api/{system}.py"


@rule
def crash_walk(system: str) -> Iterator[str]:
    """Each context whose steps request something is killed at every place."""
    walked = {context for module in crash_walks(system) for context in module.WALKED}
    for context in contexts_of(system):
        if context.name not in walked and any(handler.later for handler in handlers_of(context)):
            file = f"tests/{system}/test_crash_walk.py"
            yield f"nothing kills {context.name} at every place of its steps: add it to WALKED in {file}"


def crash_walks(system: str) -> list[ModuleType]:
    """The modules `tests/<system>/test_crash_walk*.py`."""
    paths = sorted((ROOT / "tests" / system).glob("test_crash_walk*.py"))
    return [import_module(f"tests.{system}.{path.stem}") for path in paths]


@rule
def samples(system: str) -> Iterator[str]:
    """Each message has a recorded sample and a recorded schema, and each system registers sample data."""
    for message in messages_of(system):
        for what, folder in (("sample", SAMPLES), ("schema", SCHEMAS)):
            if not (folder / f"{message.topic}.json").exists():
                yield f"{message.topic} has no recorded {what}: run `python -m tests.contracts.record`"
    business = _business(system)
    if business is not None and not tuple(business.samples(_NOW)):
        yield f"{system} has no sample data: see `samples` in {_page(system)}"


def _business(system: str) -> Any:
    return getattr(module_of("gateway_api.console.businesses", system), "business", None)


def _page(system: str) -> str:
    return f"gateway_api/console/businesses/{system}.py"


def missing(*systems: str) -> list[str]:
    """What is missing in these systems, or in all: a sentence each."""
    found = [sentence for system in systems or SYSTEMS for check in RULES for sentence in check(system)]
    return found if systems else [*found, *audited_aggregates("payments"), *routes("payments")]


def main(arguments: list[str]) -> int:
    """Print what is missing; the exit code is 1 if something is."""
    found = missing(*arguments)
    print(*found, f"{len(RULES)} rules of completeness, {len(found)} things missing", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
