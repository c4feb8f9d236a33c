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
from tests.preorder.conftest import town_with
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
from tests.support.town import Town, customer, eventually


@pytest.fixture(scope="module")
async def open_town(make_settings: MakeSettings) -> AsyncIterator[Town]:
    async with town_with(make_settings) as running:
        yield running


@pytest.fixture
async def town(open_town: Town) -> AsyncIterator[Town]:
    """A town in which every context runs, and is known to, when a story begins."""
    await open_town.start(*(name for name in CONTEXTS if name not in open_town.contexts))
    await eventually(lambda: _answers(open_town, ListProducts(), "done"))
    await eventually(partial(_reserves, open_town))
    yield open_town
    await open_town.start(*(name for name in CONTEXTS if name not in open_town.contexts))


async def _reserves(town: Town) -> bool:
    return (await attempt(town, reserve(await product(town))))[0] == "done"


LOOKS: dict[str, Message] = {
    RESERVATIONS: ListReservations(),
    PRODUCTS: ListProducts(),
    RECEIPTS: ListReceipts(),
    "payments": ListPayments(),
}


async def away(town: Town, *names: str) -> None:
    """Stop contexts, until the doors are seen to be shut."""
    await town.stop(*names)
    for name in names:
        await eventually(partial(_answers, town, LOOKS[name], "unavailable"))


async def _answers(town: Town, wish: Message, kind: str) -> bool:
    return (await town.ask(wish, within=1.0, budget=0.8)).kind == kind


async def test_my_reservations_answers_while_all_its_writers_are_down(town: Town, kim: Caller) -> None:
    reservation = await town.done(reserve(await product(town, name="Gureum 5"), kim))
    declined = await town.refused(reserve(await product(town), kim, "tok_declined"))
    await town.wait_until_idle()
    await away(town, "payments", PRODUCTS, RESERVATIONS, RECEIPTS)

    first, second = await mine(town, kim)
    seen = await entry(town, reservation, min_version=2, caller=kim)

    assert (first["reservation_id"], first["status"]) == (declined["reservation_id"], "REJECTED")
    assert (second["status"], second["product"]["name"]) == ("CONFIRMED", "Gureum 5")
    assert (seen["payment"]["status"], seen["receipt"]["status"], len(seen["timeline"])) == ("APPROVED", "ISSUED", 4)


async def test_a_product_is_registered_while_reservations_is_down_and_can_be_reserved_later(
    town: Town, kim: Caller
) -> None:
    await away(town, RESERVATIONS)
    product_id = await product(town)

    await town.start(RESERVATIONS)

    async def reserved() -> bool:
        return (await attempt(town, reserve(product_id, kim)))[0] in ("done", "already_reserved")

    await eventually(reserved)


async def test_while_products_and_receipts_are_down_reserving_and_paying_work(town: Town, kim: Caller) -> None:
    product_id = await product(town, quota=1)
    await away(town, PRODUCTS, RECEIPTS)

    reservation = await town.done(reserve(product_id, kim))

    assert (reservation["status"], reservation["payment"]["status"]) == ("CONFIRMED", "APPROVED")
    assert (await town.refused(reserve(product_id)))["code"] == "quota_full"


async def test_a_context_that_is_down_is_said_to_be_at_once_and_nothing_is_begun(town: Town, kim: Caller) -> None:
    product_id = await product(town)
    reservation = await town.done(reserve(product_id, kim))
    await town.stop(RESERVATIONS)
    wishes: list[Message] = [reserve(product_id), cancel(reservation, kim), ListReservations(member_id=kim.member_id)]
    for wish in wishes:
        await eventually(partial(_answers, town, wish, "unavailable"))
    started = time.monotonic()

    replies = [await town.ask(wish) for wish in wishes]

    assert [reply.kind for reply in replies] == ["unavailable"] * 3
    assert all(reply.retry_after for reply in replies)
    assert time.monotonic() - started < 1
    assert [item["status"] for item in await mine(town, kim)] == ["CONFIRMED"]


async def test_while_payments_is_down_no_reservation_is_begun(town: Town, kim: Caller) -> None:
    product_id = await product(town, quota=1)
    await town.stop("payments")
    await eventually(lambda: _answers(town, reserve(product_id), "unavailable"))

    reply = await town.ask(reserve(product_id, kim))

    assert reply.kind == "unavailable"
    assert (await town.done(ListReservations(member_id=kim.member_id)))["items"] == []

    async def free() -> bool:
        return await taken(town, product_id) == 0

    await eventually(free)


async def test_a_cancellation_while_payments_is_down_is_refunded_when_it_is_back(town: Town, kim: Caller) -> None:
    product_id = await product(town, quota=1)
    reservation = await town.done(reserve(product_id, kim))
    await away(town, "payments")

    await town.done(cancel(reservation, kim))
    half = await shown(
        town, reservation, status="CANCELLING", payment={"status": "APPROVED"}, receipt={"status": "VOIDED"}
    )
    still_taken = await taken(town, product_id)
    await town.start("payments")

    assert (half["refund"], still_taken) == (None, 1)
    assert (await cancelled(town, reservation))["refund"]["status"] == "REFUNDED"
    assert await taken(town, product_id) == 0


async def test_my_reservations_catches_up_when_it_was_away(town: Town, kim: Caller) -> None:
    await town.stop(MINE)
    reservation = await town.done(reserve(await product(town), kim))
    await town.done(cancel(reservation, kim))
    await cancelled(town, reservation)

    await town.start(MINE)

    await shown(town, reservation, status="CANCELLED", receipt={"status": "VOIDED"}, refund={"status": "REFUNDED"})


async def test_two_of_each_context_do_everything_once(town: Town) -> None:
    await town.start(*CONTEXTS, replica=" 2")
    product_id = await product(town, quota=5)
    tokens = ["tok_visa", "tok_declined"] * 10

    outcomes = await asyncio.gather(*(attempt(town, reserve(product_id, customer(), token)) for token in tokens))
    done = [body for code, body in outcomes if code == "done"]
    await asyncio.gather(*(town.done(cancel(reservation)) for reservation in done))
    for reservation in done:
        await cancelled(town, reservation)

    assert 1 <= len(done) <= 5
    assert await taken(town, product_id) == 0
