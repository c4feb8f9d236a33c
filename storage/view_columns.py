"""Columns of a view's tables, derived from the fields of the states that events carry."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime
from enum import Enum
from types import NoneType
from typing import Annotated, Any, get_args, get_origin
from uuid import UUID

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.postgresql import JSONB

from contracts.base import LONGEST_MEMBER_ID, Shape


class Instant(sa.TypeDecorator[datetime]):
    """An aware datetime, stored in UTC also in databases without time zones."""

    impl = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Document(sa.TypeDecorator[Any]):
    """A nested shape, stored as JSON; read as the JSON's value."""

    impl = sa.JSON().with_variant(JSONB(), "postgresql")
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


IndexedText = sa.String(LONGEST_MEMBER_ID)
"""Text in an index; MariaDB indexes no text without a length, and a member id is the longest."""
COLUMN_TYPES: tuple[tuple[type, Any], ...] = (
    (bool, sa.Boolean),
    (int, sa.BigInteger),
    (UUID, sa.Uuid),
    (AwareDatetime, Instant),
    (date, sa.Date),
    (Enum, sa.String(40)),
    (str, sa.Text),
    (BaseModel, Document),
)
"""The column's type for a field's; the first that fits counts, as a bool is an int."""


def columns_of(state: type[Shape], names: Iterable[str], indexed: Collection[str]) -> list[sa.Column[Any]]:
    """A column for each of these fields; raises TypeError for a field that no column can store."""
    return [_column(name, state.model_fields[name].annotation, name in indexed) for name in names]


def _column(name: str, annotation: Any, is_indexed: bool) -> sa.Column[Any]:
    kind, nullable = bare(annotation)
    for python_type, column_type in COLUMN_TYPES:
        if isinstance(kind, type) and issubclass(kind, python_type):
            return sa.Column(name, IndexedText if is_indexed and kind is str else column_type, nullable=nullable)
    raise TypeError(f"a view has no column for {name}: {annotation}")


def bare(annotation: Any) -> tuple[Any, bool]:
    """An annotation without its constraints and without None, and whether None was allowed."""
    if get_origin(annotation) is Annotated:
        return bare(get_args(annotation)[0])
    members = [member for member in get_args(annotation) if member is not NoneType]
    if NoneType in get_args(annotation) and len(members) == 1:
        return bare(members[0])[0], True
    return annotation, False
