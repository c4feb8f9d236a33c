"""What phone pre-order does while some of its contexts are stopped, and with two replicas of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial

import pytest

from contracts.base import Caller, Message
from contracts.preorder.products import ListProducts
from contracts.preorder.reservations import ListReservations
from tests.conftest import MakeSettings
from tests.preorder.conftest import can_reserve, system_with
from tests.preorder.helpers import (
    CONTEXTS,
    MY_RESERVATIONS,
    PRODUCTS,
    RECEIPTS,
    RESERVATIONS,
    cancel,
    discrepancies,
    known_product,
    my_reservations,
    reserve,
    taken_quota,
    view_of,
    wait_for_view,
    wait_until_cancelled,
)
from tests.support.system import System, customer, eventually


@pytest.fixture(scope="module")
async def open_system(make_settings: MakeSettings) -> AsyncIterator[System]:
    async with system_with(make_settings) as running:
        yield running


@pytest.fixture
async def system(open_system: System) -> System:
    """A system in which every context runs and answers when a test begins."""
    await open_system.start_stopped(*CONTEXTS)
    await open_system.wait_for_reply(ListProducts(), "done")
    await eventually(partial(can_reserve, open_system))
    return open_system


async def test_my_reservations_answers_while_all_its_writers_are_stopped(system: System, kim: Caller) -> None:
    reservation = await system.done(reserve(await known_product(system, name="Gureum 5"), kim))
    declined = await system.refused(reserve(await known_product(system), kim, "tok_declined"))
    await system.wait_until_idle()
    await system.stop_until_unavailable("payments", PRODUCTS, RESERVATIONS, RECEIPTS)

    first, second = await my_reservations(system, kim)
    seen = await view_of(system, reservation, min_version=2, caller=kim)

    assert (first["reservation_id"], first["status"]) == (declined["reservation_id"], "REJECTED")
    assert (second["status"], second["product"]["name"]) == ("CONFIRMED", "Gureum 5")
    assert (seen["payment"]["status"], seen["receipt"]["status"], len(seen["timeline"])) == ("APPROVED", "ISSUED", 4)


async def test_a_product_registered_while_reservations_is_stopped_can_be_reserved_later(
    system: System, kim: Caller
) -> None:
    await system.stop_until_unavailable(RESERVATIONS)
    product_id = await known_product(system)

    await system.start(RESERVATIONS)

    async def reserved() -> bool:
        return (await system.outcome(reserve(product_id, kim)))[0] in ("done", "already_reserved")

    await eventually(reserved)


async def test_reserving_and_paying_work_while_products_and_receipts_are_stopped(system: System, kim: Caller) -> None:
    product_id = await known_product(system, quota=1)
    await system.stop_until_unavailable(PRODUCTS, RECEIPTS)

    reservation = await system.done(reserve(product_id, kim))

    assert (reservation["status"], reservation["payment"]["status"]) == ("CONFIRMED", "APPROVED")
    assert (await system.refused(reserve(product_id)))["code"] == "quota_full"


async def test_a_stopped_context_is_unavailable_at_once_and_nothing_is_begun(system: System, kim: Caller) -> None:
    product_id = await known_product(system)
    reservation = await system.done(reserve(product_id, kim))
    await system.stop(RESERVATIONS)
    commands: list[Message] = [reserve(product_id), cancel(reservation, kim), ListReservations(member_id=kim.member_id)]
    for command in commands:
        await system.wait_for_reply(command, "unavailable")
    started = time.monotonic()

    replies = [await system.request(command) for command in commands]

    assert [reply.kind for reply in replies] == ["unavailable"] * 3
    assert all(reply.retry_after for reply in replies)
    assert time.monotonic() - started < 1
    assert [item["status"] for item in await my_reservations(system, kim)] == ["CONFIRMED"]


async def test_a_reservation_refused_while_payments_is_stopped_leaves_its_row_and_takes_no_quota(
    system: System, kim: Caller
) -> None:
    product_id = await known_product(system, quota=1)
    await system.stop_until_unavailable("payments")

    code, refusal = await system.outcome(reserve(product_id, kim))

    assert (code, refusal["current_status"]) == ("payment_unavailable", "CANCELLED")
    assert await taken_quota(system, product_id) == 0
    await wait_for_view(system, refusal, status="CANCELLED", reason="payment_unavailable")
    await system.start("payments")
    await wait_for_view(system, refusal, within=30, payment={"status": "VOIDED"})
    await system.wait_until_idle()
    assert await discrepancies(system) == []
    assert (await system.outcome(reserve(product_id, kim)))[0] == "done"


async def test_a_cancellation_while_payments_is_stopped_is_refunded_when_it_starts(system: System, kim: Caller) -> None:
    product_id = await known_product(system, quota=1)
    reservation = await system.done(reserve(product_id, kim))
    await system.stop_until_unavailable("payments")

    await system.done(cancel(reservation, kim))
    half = await wait_for_view(
        system, reservation, status="CANCELLING", payment={"status": "APPROVED"}, receipt={"status": "VOIDED"}
    )
    still_taken = await taken_quota(system, product_id)
    await system.start("payments")

    assert (half["refund"], still_taken) == (None, 1)
    assert (await wait_until_cancelled(system, reservation))["refund"]["status"] == "REFUNDED"
    assert await taken_quota(system, product_id) == 0


async def test_my_reservations_catches_up_after_it_was_stopped(system: System, kim: Caller) -> None:
    await system.stop(MY_RESERVATIONS)
    reservation = await system.done(reserve(await known_product(system), kim))
    await system.done(cancel(reservation, kim))
    await wait_until_cancelled(system, reservation)

    await system.start(MY_RESERVATIONS)

    await wait_for_view(
        system, reservation, status="CANCELLED", receipt={"status": "VOIDED"}, refund={"status": "REFUNDED"}
    )


async def test_two_replicas_of_each_context_do_everything_once(system: System) -> None:
    await system.start(*CONTEXTS, replica=" 2")
    product_id = await known_product(system, quota=5)
    tokens = ["tok_visa", "tok_declined"] * 10

    outcomes = await system.outcomes(reserve(product_id, customer(), token) for token in tokens)
    done = [body for code, body in outcomes if code == "done"]
    await asyncio.gather(*(system.done(cancel(reservation)) for reservation in done))
    for reservation in done:
        await wait_until_cancelled(system, reservation)

    assert 1 <= len(done) <= 5
    assert await taken_quota(system, product_id) == 0
