"""What one system declares to the audit: its tables, what must agree, and checks of its own."""
# ruff: noqa: S608 - statements are put together from constants of this package

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from contracts.base import Event
from ops.audit.stores import CONTEXT_OF, Stores
from storage.views import ViewTables

Check = Callable[[Stores], Awaitable[list[str]]]
"""Reads the stores and returns the discrepancies, a sentence each."""

LIVE = "state in ('started', 'waiting')"
"""The condition of an inbox row whose work is not finished."""


@dataclass(frozen=True)
class TableComparison:
    """A writer's table and a reader's table that must agree, row by row."""

    what: str
    """What one row is, as a discrepancy names it."""
    key: str
    """The key column, which both tables have."""
    writer: str
    """`schema.table` of the writer."""
    reader: str
    """`schema.table` of the reader."""
    columns: Sequence[str]
    """The columns that must be equal."""
    published: str = "true"
    """The condition (SQL) of the writer's rows that were published."""
    visible: str = "true"
    """The condition (SQL) of the reader's rows that count."""

    @property
    def schema(self) -> str:
        """The reader's schema."""
        return self.reader.partition(".")[0]

    @property
    def context(self) -> str:
        """The reader's context."""
        return CONTEXT_OF[self.schema]

    @property
    def reader_name(self) -> str:
        """The reader's context without its system."""
        return self.context.rpartition(".")[2]

    @property
    def name(self) -> str:
        """The name of the derived table that holds the differences."""
        return f"{self.what}_at_{self.schema}".replace(" ", "_")


@dataclass(frozen=True)
class Publication:
    """A writer's table, and the topics of the events that publish each version of its rows."""

    what: str
    writer: str
    key: str
    topics: Sequence[str]
    silent: int = 0
    """The first versions of a row that no event publishes."""


@dataclass(frozen=True)
class UnfinishedCheck:
    """A kind of unfinished thing, each of which must have an inbox step or timer that will finish it."""

    discrepancy: str
    """The sentence about one without a step; `{}` is its id."""
    unfinished: str
    """A `select` of the ids of all unfinished things."""
    steps: str
    """A `select` of the ids that have a step; `$1` is the topic."""
    topic: str


@dataclass(frozen=True)
class SystemChecks:
    """What one system declares to the audit."""

    tables: Mapping[str, Sequence[str]]
    """The tables that the checks read, by schema."""
    writers: Mapping[str, str] = field(default_factory=dict)
    """The schemas of the contexts that have an inbox, by context."""
    views: Sequence[ViewTables] = ()
    """The views; they may live in a database of another kind."""
    comparisons: Sequence[TableComparison] = ()
    publications: Sequence[Publication] = ()
    republished: Mapping[str, str] = field(default_factory=dict)
    """Tables and their keys whose rows may publish the same version twice: a compensation re-publishes the state."""
    unfinished: Sequence[UnfinishedCheck] = ()
    claims: Sequence[str] = ()
    """The payments that the system requested: `select`s of thing, kind, payment_id, cost, status, claim (`due` when
    the thing must be paid, `open` while it is undecided, `void` when nothing may be kept), and given_back (the most
    that may have been refunded of a thing that its customer still has; null for any other)."""
    claim_kinds: Mapping[str, str] = field(default_factory=dict)
    """How to tell the kind of a claim from its RequestPayment `i` (SQL), by the payment's purpose."""
    fully_refunded: Sequence[str] = ()
    """Kinds of claims that a cancellation refunds in full, under the refund id derived from the thing."""
    checks: Mapping[str, Sequence[Check]] = field(default_factory=dict)
    """Checks of this system only, by the name of the invariant."""


def current(view: str) -> str:
    """The condition (SQL) of a view's rows that its readers see."""
    return f"generation = (select current from <{view}.generations>)"


def view_comparison(
    view: ViewTables,
    table: sa.Table,
    key: str,
    writer: str,
    published: str = "true",
    what: str = "",
    mine: str = "true",
) -> TableComparison:
    """Compare a view's table with its writer's: all columns but the key and the version.

    `mine` is the condition (SQL) of the writer's rows that the view is about.
    """
    columns = [column.name for column in table.columns if column.name not in ("generation", "version", key)]
    reader = f"{view.schema}.{table.name}"
    visible = f"{current(view.schema)} and {mine}"
    return TableComparison(
        what or key.removesuffix("_id"), key, writer, reader, columns, f"{published} and {mine}", visible
    )


def payments_for(purpose: str) -> str:
    """For `view_comparison`: the condition (SQL) that excludes payments, and their refunds, of other purposes."""
    return f"payment_id not in (select payment_id from <payments.payments> where purpose <> '{purpose}')"


def columns_of(state: Any, key: str) -> list[str]:
    """The fields of a state that readers copy: all but the key and the version."""
    return [name for name in state.model_fields if name not in (key, "version")]


def topics_of(base: type[Event]) -> list[str]:
    """The topics of all events of a kind."""
    return sorted(kind.topic for kind in base.__subclasses__())


def steps_naming(schema: str, name: str) -> str:
    """A `select` of the ids in field `name` of the bodies of a schema's live inbox rows; `$1` is the topic."""
    return f"select (body::json ->> '{name}')::uuid as id from <{schema}.inbox> where topic = $1 and {LIVE}"
