"""An address is stored in one table only; for a customer, the reservations of others do not exist."""

from __future__ import annotations

import json
from collections.abc import Callable
from uuid import uuid4

import asyncpg
import pytest

from contracts.base import Caller, Message
from contracts.payments import ShowPayment
from contracts.preorder.my_reservations import ShowMyReservation
from contracts.preorder.reservations import ListReservations, ShowReservation
from tests.conftest import MakeSettings
from tests.preorder.conftest import system_with
from tests.preorder.helpers import (
    ADDRESS,
    cancel,
    known_product,
    my_reservations,
    receipts_of,
    reservation_of,
    reserve,
    view_of,
    wait_for_view,
    wait_until_cancelled,
)
from tests.support.system import STAFF, Json, System

TOKENS = ("tok_visa", "tok_declined", "tok_slow")


async def tables_with(system: System, text: str) -> set[str]:
    """The tables of all databases that have a text in some row."""
    found = set()
    for url in (system.settings.database_url.get_secret_value(), system.settings.provider_database):
        connection = await asyncpg.connect(url)
        try:
            tables = await connection.fetch(
                "select table_schema, table_name from information_schema.tables"
                " where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')"
            )
            for schema, name in tables:
                query = f'select 1 from "{schema}"."{name}" as t where strpos(t::text, $1) > 0 limit 1'
                if await connection.fetchval(query, text):
                    found.add(f"{schema}.{name}")
        finally:
            await connection.close()
    return found


async def test_an_address_is_in_one_table_and_in_no_event_view_inbox_or_log(
    make_settings: MakeSettings, kim: Caller, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with system_with(make_settings, "journal") as system:
        for token in TOKENS:
            reply = await system.request(reserve(await known_product(system), kim, token))
            assert ADDRESS not in reply.body.decode()
        await system.wait_until_idle()
        reservation = next(item for item in await my_reservations(system, kim) if item["status"] == "CONFIRMED")
        answer = await system.done(cancel(reservation, kim))
        await wait_until_cancelled(system, reservation)
        seen = [
            answer,
            await view_of(system, reservation),
            *await my_reservations(system, kim),
            *await receipts_of(system, kim),
        ]
        await system.wait_until_idle()

        assert await tables_with(system, ADDRESS) == {"preorder_reservations.reservations"}
        assert await tables_with(system, "tok_") == set()
        assert ADDRESS not in json.dumps([*seen, system.events], ensure_ascii=False)
        assert "address" not in json.dumps([*seen, system.events])
        assert (await reservation_of(system, reservation))["address"] == ADDRESS
        listed = await system.done(ListReservations(member_id=kim.member_id))
        assert {item["address"] for item in listed["items"]} == {ADDRESS}
    out, err = capfd.readouterr()
    logs = out + err + caplog.text
    assert ADDRESS not in logs
    assert ADDRESS.encode("unicode_escape").decode() not in logs
    assert "tok_visa" not in logs


MakeMessage = Callable[[Json, Caller], Message]
MESSAGES: dict[str, MakeMessage] = {
    "cancel": cancel,
    "show": lambda reservation, caller: ShowReservation(reservation_id=reservation["reservation_id"], caller=caller),
    "show in the view": lambda reservation, caller: ShowMyReservation(
        reservation_id=reservation["reservation_id"], caller=caller
    ),
    "see the payment of": lambda reservation, caller: ShowPayment(payment_id=reservation["payment_id"], caller=caller),
}


@pytest.mark.parametrize("make", MESSAGES.values(), ids=MESSAGES)
async def test_another_customers_reservation_is_not_found(
    system: System, kim: Caller, lee: Caller, make: MakeMessage
) -> None:
    reservation = await system.done(reserve(await known_product(system), kim))

    refusal = await system.refused(make(reservation, lee))
    unknown = await system.refused(make({"reservation_id": uuid4(), "payment_id": uuid4()}, lee))

    assert refusal == unknown == {"code": "not_found"}
    assert (await reservation_of(system, reservation))["version"] == reservation["version"]


async def test_a_member_sees_only_their_own(system: System, kim: Caller, lee: Caller) -> None:
    reservation = await system.done(reserve(await known_product(system), kim))
    await system.done(reserve(await known_product(system), lee))
    await system.wait_until_idle()

    assert [item["reservation_id"] for item in await my_reservations(system, kim)] == [reservation["reservation_id"]]
    listed = await system.done(ListReservations(member_id=kim.member_id))
    assert [item["reservation_id"] for item in listed["items"]] == [reservation["reservation_id"]]
    assert [one["reservation_id"] for one in await receipts_of(system, kim)] == [reservation["reservation_id"]]


async def test_staff_may_cancel_for_a_member(system: System, kim: Caller) -> None:
    reservation = await system.done(reserve(await known_product(system), kim))

    await system.done(cancel(reservation, STAFF, "recalled"))

    assert (await wait_until_cancelled(system, reservation))["member_id"] == kim.member_id
    await wait_for_view(system, reservation, status="CANCELLED", reason="recalled")
