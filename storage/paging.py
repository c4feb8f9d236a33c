"""Keyset paging: a cursor is the sort key of the last row, so that pages neither skip nor repeat rows."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from contracts.refusals import InvalidMessage

Item = TypeVar("Item")


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
