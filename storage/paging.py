"""Lists by keyset: a cursor is the last row's place, so that pages neither skip nor repeat."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from contracts.base import Refused

Item = TypeVar("Item")


def encode(created_at: datetime, id: UUID) -> str:
    """The cursor behind a row that was created at an instant."""
    return base64.urlsafe_b64encode(f"{created_at.isoformat()} {id}".encode()).decode().rstrip("=")


def decode(cursor: str | None) -> tuple[datetime | None, UUID | None]:
    """Where a cursor points, (None, None) for the beginning; raises Refused (`invalid`)."""
    if cursor is None:
        return None, None
    try:
        created_at, id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split(" ")
        instant = datetime.fromisoformat(created_at)
        if instant.tzinfo is None:
            raise ValueError("a cursor's instant has a zone")
        return instant.astimezone(UTC), UUID(id)
    except (ValueError, OverflowError):
        raise Refused("invalid", errors=[{"field": "cursor", "message": "not a cursor of this list"}]) from None


def page(
    rows: Sequence[Any], limit: int, make: Callable[[Any], Item], place: Callable[[Item], tuple[datetime, UUID]]
) -> tuple[list[Item], str | None]:
    """Up to `limit` items, and the cursor for the next page if `rows` (asked for one more) holds more."""
    items = [make(row) for row in rows[:limit]]
    return items, encode(*place(items[-1])) if len(rows) > limit else None
