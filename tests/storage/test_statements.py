"""Statements with named parameters, and the cursors of lists."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from contracts.base import Refused
from storage import paging
from storage.database import Statement

PLACE = st.tuples(
    st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=9)), timezone(-timedelta(minutes=210))])),
    st.uuids(),
)


def test_parameters_are_given_by_name_in_any_order() -> None:
    statement = Statement("select * from t where a = :a and b = :b and c = :a")

    assert statement.text == "select * from t where a = $1 and b = $2 and c = $1"
    assert statement.arguments({"b": 2, "a": 1}) == [1, 2]


def test_a_parameter_that_is_missing_is_named() -> None:
    with pytest.raises(KeyError, match="b"):
        Statement("select :a, :b").arguments({"a": 1})


def test_a_cast_is_not_taken_for_a_parameter() -> None:
    statement = Statement("select cast(:after as interval), '12:30'::time")

    assert statement.arguments({"after": 1}) == [1]


def test_a_clause_has_its_own_values_and_takes_named_ones() -> None:
    table = sa.table("t", sa.column("a"), sa.column("b"))
    statement = Statement(sa.select(table.c.a).where(table.c.a == 5, table.c.b == sa.bindparam("b")))

    assert statement.arguments({"b": 2}) == [5, 2]
    with pytest.raises(KeyError, match="b"):
        statement.arguments({})


# -- cursors


@given(PLACE)
def test_a_cursor_is_decoded_to_its_position(place: tuple[datetime, UUID]) -> None:
    assert paging.decode(paging.encode(*place)) == place


def test_without_a_cursor_a_list_starts_at_its_beginning() -> None:
    assert paging.decode(None) == (None, None)


@given(st.one_of(st.text(max_size=80), st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_an_invalid_cursor_is_refused(garbage: str) -> None:
    with pytest.raises(Refused, match="invalid") as refused:
        paging.decode(garbage)
    assert refused.value.details["errors"][0]["field"] == "cursor"


@given(PLACE, st.data())
def test_an_altered_cursor_is_a_valid_position_or_is_refused(place: tuple[datetime, UUID], data: Any) -> None:
    cursor = paging.encode(*place)
    cut = data.draw(st.integers(0, len(cursor) - 1))

    with contextlib.suppress(Refused):
        instant, id = paging.decode(cursor[:cut] + data.draw(st.characters()) + cursor[cut + 1 :])
        assert instant is not None
        assert instant.tzinfo is not None
        assert isinstance(id, UUID)


def test_a_cursor_without_a_zone_is_refused() -> None:
    with pytest.raises(Refused, match="invalid"):
        paging.decode(paging.encode(datetime(2026, 1, 1), uuid4()))  # noqa: DTZ001


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_cursor_with_an_instant_that_utc_cannot_represent_is_refused(instant: str) -> None:
    with pytest.raises(Refused, match="invalid"):
        paging.decode(paging.encode(datetime.fromisoformat(instant), uuid4()))


@pytest.mark.parametrize(("rows", "limit", "shown", "more"), [(0, 2, 0, False), (2, 2, 2, False), (3, 2, 2, True)])
def test_a_page_has_a_cursor_when_there_is_more(rows: int, limit: int, shown: int, more: bool) -> None:
    found = [(datetime(2026, 1, 1, tzinfo=UTC), UUID(int=number)) for number in range(rows)]

    items, cursor = paging.page(found, limit, lambda row: row, lambda item: item)

    assert items == found[:shown]
    assert (cursor is not None) is more
    assert not more or paging.decode(cursor) == found[shown - 1]
