"""Keyset paging: a cursor is the sort key of the last row, so that pages neither skip nor repeat rows."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import sqlalchemy as sa

from contracts.base import Page, Shape
from contracts.refusals import InvalidMessage
from storage.database import Row, Session, Statement

Item = TypeVar("Item")
State = TypeVar("State", bound=Shape)


def encode(created_at: datetime, id: UUID) -> str:
    """The cursor that points behind the row with this sort key."""
    return base64.urlsafe_b64encode(f"{created_at.isoformat()} {id}".encode()).decode().rstrip("=")


def decode(cursor: str | None) -> tuple[datetime | None, UUID | None]:
    """The sort key of a cursor, (None, None) for the first page; raises InvalidMessage for a malformed cursor."""
    if cursor is None:
        return None, None
    try:
        created_at, id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split(" ")
        instant = datetime.fromisoformat(created_at)
        if instant.tzinfo is None:
            raise ValueError("the time has no zone")
        return instant.astimezone(UTC), UUID(id)
    except (ValueError, OverflowError):
        raise InvalidMessage(errors=[{"field": "cursor", "message": "not a cursor of this list"}]) from None


def page(
    rows: Sequence[Any], limit: int, make: Callable[[Any], Item], sort_key: Callable[[Item], tuple[datetime, UUID]]
) -> tuple[list[Item], str | None]:
    """Up to `limit` items, and the cursor of the next page or None.

    `rows` must have been selected with `limit + 1`: the additional row shows that there is a next page.
    """
    items = [make(row) for row in rows[:limit]]
    return items, encode(*sort_key(items[-1])) if len(rows) > limit else None


class Keyset:
    """The statements of a list, newest first, with one row more than a page has; see `page`.

    `filters` are conditions by the field of a query for which they are made; what is None there restricts nothing.
    """

    def __init__(
        self,
        select: sa.Select[Any],
        place: tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]],
        filters: Mapping[str, Any],
        prepare: Callable[[sa.Select[Any]], Any] = lambda select: select,
    ) -> None:
        at, id = place
        self._select = select.order_by(at.desc(), id.desc()).limit(sa.bindparam("limit"))
        self._after = sa.tuple_(at, id) < sa.tuple_(
            sa.bindparam("at", type_=at.type), sa.bindparam("id", type_=id.type)
        )
        self._filters = filters
        self._prepare = prepare
        self._made: dict[tuple[str, ...], Any] = {}

    def read(self, query: Any, **values: Any) -> tuple[Any, dict[str, Any]]:
        """The statement of the page that `query` asks for, and its parameters: those of the query, and `values`."""
        at, id = decode(query.cursor)
        given = {**query.__dict__, **values, "at": at, "id": id, "limit": query.limit + 1}
        wanted = tuple(name for name in (*self._filters, "at") if given.get(name) is not None)
        if wanted not in self._made:
            conditions = {**self._filters, "at": self._after}
            self._made[wanted] = self._prepare(self._select.where(*(conditions[name] for name in wanted)))
        return self._made[wanted], given


class Newest(Generic[State]):
    """The states in a writer's table or subquery, newest first, a page at a time.

        RENTALS = Newest(Rental, "video_rental_rentals.rentals", "rental_id", filters=("member_id", "status"))

    `filters` are columns that a query may name a value for, `conditions` other conditions (SQL) by their field in the
    query; `where` (SQL) holds for all. Parameters are the fields of the query.
    """

    def __init__(
        self,
        state: type[State],
        source: str,
        key: str,
        *,
        at: str = "created_at",
        filters: Sequence[str] = (),
        conditions: Mapping[str, str] | None = None,
        where: str = "true",
        make: Callable[[Row], State] | None = None,
    ) -> None:
        self._answer = Page[state]  # type: ignore[valid-type]
        self._make = make or (lambda row: state.model_validate(dict(row)))
        self._place = at, key
        columns = sa.literal_column(at, sa.DateTime(timezone=True)), sa.literal_column(key, sa.Uuid())
        select: sa.Select[Any] = (
            sa.select(sa.literal_column("*")).select_from(sa.text(source)).where(sa.text(f"({where})"))
        )
        texts = {name: f"{name} = :{name}" for name in filters} | dict(conditions or {})
        self.filters = tuple(texts)
        self.read = Keyset(
            select, columns, {name: sa.text(f"({text})") for name, text in texts.items()}, Statement
        ).read

    async def page(self, session: Session, query: Any, **values: Any) -> Page[State]:
        """The page that `query` asks for; raises InvalidMessage for a malformed cursor."""
        statement, given = self.read(query, **values)
        rows = await session.all(statement, **given)
        items, cursor = page(rows, query.limit, self._make, self._sort_key)
        return self._answer(items=items, next_cursor=cursor)

    def _sort_key(self, item: State) -> tuple[datetime, UUID]:
        at, key = self._place
        return getattr(item, at), getattr(item, key)
