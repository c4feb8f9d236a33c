"""What one system adds to the checks, and the words to say it with."""
# ruff: noqa: S608 - statements are put together from constants of this package

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from contracts.base import Event
from storage.views import ViewTables
from workers.registry import CONTEXTS

if TYPE_CHECKING:
    from ops.audit.stores import Stores

Check = Callable[["Stores"], Awaitable[list[str]]]

CONTEXT_OF = {context.replace(".", "_"): context for context in CONTEXTS}
LIVE = "state in ('started', 'waiting')"


@dataclass(frozen=True)
class Copy:
    """A writer's table, and what a reader keeps of it."""

    what: str
    key: str
    writer: str
    reader: str
    columns: Sequence[str]
    """What both have and must agree on."""
    told: str = "true"
    """Which of the writer's rows were ever told of."""
    generation: str = "true"

    @property
    def schema(self) -> str:
        """The reader's."""
        return self.reader.partition(".")[0]

    @property
    def context(self) -> str:
        """The context that reads."""
        return CONTEXT_OF[self.schema]

    @property
    def reading(self) -> str:
        """Its short name."""
        return self.context.rpartition(".")[2]

    @property
    def name(self) -> str:
        return f"{self.what}_at_{self.schema}".replace(" ", "_")


@dataclass(frozen=True)
class Telling:
    """A writer's table, and the events of which there is one for every version of its rows."""

    what: str
    writer: str
    key: str
    topics: Sequence[str]


@dataclass(frozen=True)
class OpenStep:
    """What is said of a thing that nobody takes up: the things under way, and the steps that take them up."""

    sentence: str
    things: str
    steps: str
    """With `$1` for the topic."""
    topic: str


@dataclass(frozen=True)
class Part:
    """What one system adds to the checks."""

    tables: Mapping[str, Sequence[str]]
    """What the checks look at, by schema."""
    writers: Mapping[str, str] = field(default_factory=dict)
    """Contexts with an inbox, and their schemas."""
    views: Sequence[ViewTables] = ()
    """Those may live in another kind of database."""
    copies: Sequence[Copy] = ()
    telling: Sequence[Telling] = ()
    retold: Mapping[str, str] = field(default_factory=dict)
    """Tables and their keys: a state of theirs is told again when somebody asks to undo what is undone."""
    open_steps: Sequence[OpenStep] = ()
    claims: Sequence[str] = ()
    """Which payments it asked for, what each should bring, and whether that stands: `select`s of thing, kind,
    payment_id, cost, status, standing (`stands`, `open` or `off`)."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """How the kind of a claim is told from its RequestPayment `i`, by the purpose that payments knows it by (SQL)."""
    given_back_whole: Sequence[str] = ()
    """Kinds of claims that are refunded with the id derived from the thing, and only when they no longer stand."""
    checks: Mapping[str, Sequence[Check]] = field(default_factory=dict)
    """More of an invariant, by its name."""


def current(view: str) -> str:
    """The rows of a view that its readers see."""
    return f"generation = (select current from <{view}.generations>)"


def shown(
    view: ViewTables, table: sa.Table, key: str, writer: str, told: str = "true", what: str = "", mine: str = "true"
) -> Copy:
    """A view's copy: all columns but the key and the version must be the writer's; `mine` are the rows it is for."""
    columns = [column.name for column in table.columns if column.name not in ("generation", "version", key)]
    reader = f"{view.schema}.{table.name}"
    shows = f"{current(view.schema)} and {mine}"
    return Copy(what or key.removesuffix("_id"), key, writer, reader, columns, f"{told} and {mine}", shows)


def asked_by(purpose: str) -> str:
    """For `shown`: the payments, and their refunds, that no other business asked for."""
    return f"payment_id not in (select payment_id from <payments.payments> where purpose <> '{purpose}')"


def columns_of(state: Any, key: str) -> list[str]:
    """The fields of a state that its copies have: all but the key and the version."""
    return [name for name in state.model_fields if name not in (key, "version")]


def topics_of(base: type[Event]) -> list[str]:
    """The topics of all events of a kind."""
    return sorted(kind.topic for kind in base.__subclasses__())


def steps(schema: str, name: str) -> str:
    """The things that steps of one topic will take up, by a field of their bodies."""
    return f"select (body::json ->> '{name}')::uuid as id from <{schema}.inbox> where topic = $1 and {LIVE}"
