"""What goes on while a context is down, and what is said at once instead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial

import pytest

from contracts.base import Caller, Message
from contracts.payments import ListPayments
from contracts.preorder.products import ListProducts
from contracts.preorder.receipts import ListReceipts
from contracts.preorder.reservations import ListReservations
from tests.conftest import MakeSettings
from tests.preorder.conftest import system_with
from tests.preorder.reserving import (
    CONTEXTS,
    MINE,
    PRODUCTS,
    RECEIPTS,
    RESERVATIONS,
    attempt,
    cancel,
    cancelled,
    entry,
    mine,
    product,
    reserve,
    shown,
    taken,
)
from tests.support.system import System, customer, eventually


@pytest.fixture(scope="module")
async def open_system(make_settings: MakeSettings) -> AsyncIterator[System]:
    async with system_with(make_settings) as running:
        yield running


@pytest.fixture
async def system(open_system: System) -> AsyncIterator[System]:
    """A system in which every context runs, and is known to, when a story begins."""
    await open_system.start(*(name for name in CONTEXTS if name not in open_system.contexts))
    await eventually(lambda: _answers(open_system, ListProducts(), "done"))
    await eventually(partial(_reserves, open_system))
    yield open_system
    await open_system.start(*(name for name in CONTEXTS if name not in open_system.contexts))


async def _reserves(system: System) -> bool:
    return (await attempt(system, reserve(await product(system))))[0] == "done"


LOOKS: dict[str, Message] = {
    RESERVATIONS: ListReservations(),
    PRODUCTS: ListProducts(),
    RECEIPTS: ListReceipts(),
    "payments": ListPayments(),
}


async def away(system: System, *names: str) -> None:
    """Stop contexts, until the doors are seen to be shut."""
    await system.stop(*names)
    for name in names:
        await eventually(partial(_answers, system, LOOKS[name], "unavailable"))


async def _answers(system: System, wish: Message, kind: str) -> bool:
    return (await system.request(wish, within=1.0, budget=0.8)).kind == kind


async def test_my_reservations_answers_while_all_its_writers_are_down(system: System, kim: Caller) -> None:
    reservation = await system.done(reserve(await product(system, name="Gureum 5"), kim))
    declined = await system.refused(reserve(await product(system), kim, "tok_declined"))
    await system.wait_until_idle()
    await away(system, "payments", PRODUCTS, RESERVATIONS, RECEIPTS)

    first, second = await mine(system, kim)
    seen = await entry(system, reservation, min_version=2, caller=kim)

    assert (first["reservation_id"], first["status"]) == (declined["reservation_id"], "REJECTED")
    assert (second["status"], second["product"]["name"]) == ("CONFIRMED", "Gureum 5")
    assert (seen["payment"]["status"], seen["receipt"]["status"], len(seen["timeline"])) == ("APPROVED", "ISSUED", 4)


async def test_a_product_is_registered_while_reservations_is_down_and_can_be_reserved_later(
    system: System, kim: Caller
) -> None:
    await away(system, RESERVATIONS)
    product_id = await product(system)

    await system.start(RESERVATIONS)

    async def reserved() -> bool:
        return (await attempt(system, reserve(product_id, kim)))[0] in ("done", "already_reserved")

    await eventually(reserved)


async def test_while_products_and_receipts_are_down_reserving_and_paying_work(system: System, kim: Caller) -> None:
    product_id = await product(system, quota=1)
    await away(system, PRODUCTS, RECEIPTS)

    reservation = await system.done(reserve(product_id, kim))

    assert (reservation["status"], reservation["payment"]["status"]) == ("CONFIRMED", "APPROVED")
    assert (await system.refused(reserve(product_id)))["code"] == "quota_full"


async def test_a_context_that_is_down_is_said_to_be_at_once_and_nothing_is_begun(system: System, kim: Caller) -> None:
    product_id = await product(system)
    reservation = await system.done(reserve(product_id, kim))
    await system.stop(RESERVATIONS)
    wishes: list[Message] = [reserve(product_id), cancel(reservation, kim), ListReservations(member_id=kim.member_id)]
    for wish in wishes:
        await eventually(partial(_answers, system, wish, "unavailable"))
    started = time.monotonic()

    replies = [await system.request(wish) for wish in wishes]

    assert [reply.kind for reply in replies] == ["unavailable"] * 3
    assert all(reply.retry_after for reply in replies)
    assert time.monotonic() - started < 1
    assert [item["status"] for item in await mine(system, kim)] == ["CONFIRMED"]


async def test_while_payments_is_down_no_reservation_is_begun(system: System, kim: Caller) -> None:
    product_id = await product(system, quota=1)
    await system.stop("payments")
    await eventually(lambda: _answers(system, reserve(product_id), "unavailable"))

    reply = await system.request(reserve(product_id, kim))

    assert reply.kind == "unavailable"
    assert (await system.done(ListReservations(member_id=kim.member_id)))["items"] == []

    async def free() -> bool:
        return await taken(system, product_id) == 0

    await eventually(free)


async def test_a_cancellation_while_payments_is_down_is_refunded_when_it_is_back(system: System, kim: Caller) -> None:
    product_id = await product(system, quota=1)
    reservation = await system.done(reserve(product_id, kim))
    await away(system, "payments")

    await system.done(cancel(reservation, kim))
    half = await shown(
        system, reservation, status="CANCELLING", payment={"status": "APPROVED"}, receipt={"status": "VOIDED"}
    )
    still_taken = await taken(system, product_id)
    await system.start("payments")

    assert (half["refund"], still_taken) == (None, 1)
    assert (await cancelled(system, reservation))["refund"]["status"] == "REFUNDED"
    assert await taken(system, product_id) == 0


async def test_my_reservations_catches_up_when_it_was_away(system: System, kim: Caller) -> None:
    await system.stop(MINE)
    reservation = await system.done(reserve(await product(system), kim))
    await system.done(cancel(reservation, kim))
    await cancelled(system, reservation)

    await system.start(MINE)

    await shown(system, reservation, status="CANCELLED", receipt={"status": "VOIDED"}, refund={"status": "REFUNDED"})


async def test_two_of_each_context_do_everything_once(system: System) -> None:
    await system.start(*CONTEXTS, replica=" 2")
    product_id = await product(system, quota=5)
    tokens = ["tok_visa", "tok_declined"] * 10

    outcomes = await asyncio.gather(*(attempt(system, reserve(product_id, customer(), token)) for token in tokens))
    done = [body for code, body in outcomes if code == "done"]
    await asyncio.gather(*(system.done(cancel(reservation)) for reservation in done))
    for reservation in done:
        await cancelled(system, reservation)

    assert 1 <= len(done) <= 5
    assert await taken(system, product_id) == 0
