"""My reservations never goes back, whatever comes late, twice or in the wrong order."""

from __future__ import annotations

import asyncio
import random
import time
from uuid import UUID, uuid4

from contracts.base import CATALOGUE, Caller, Event
from contracts.preorder.my_reservations import ListMyReservations
from contracts.preorder.reservations import ReservationStarted, ReservationStatus
from tests.preorder.reserving import (
    Thing,
    cancel,
    cancelled,
    entry,
    id_of,
    mine,
    product,
    reserve,
    shown,
    tell,
)
from tests.support.system import STAFF, System, eventually
from workers.preorder.receipts.handlers import receipt_id_of


async def a_cancelled_one(system: System, member: Caller) -> Thing:
    reservation = await system.done(reserve(await product(system, name="Nabi 2"), member))
    await shown(system, reservation, receipt={"status": "ISSUED"})
    await system.done(cancel(reservation, member, "no time"))
    return await cancelled(system, reservation)


async def said_of(system: System, reservation: Thing) -> list[Event]:
    """Every event about one reservation and its parts, as it was said."""
    await system.wait_until_idle()
    known = {reservation["reservation_id"], reservation["payment_id"], reservation["product_id"]}
    keys = ("reservation_id", "payment_id", "product_id")
    told = [(topic, body) for topic, body in system.news if any(body.get(key) in known for key in keys)]
    return [CATALOGUE[topic].model_validate(body) for topic, body in told]  # type: ignore[misc]


ALIASES = ("reservation_id", "payment_id", "product_id", "refund_id", "receipt_id")


def retold(events: list[Event]) -> tuple[UUID, list[Event]]:
    """The same events, of things that never were; receipts hears of them, too, and writes the same receipt."""
    others: dict[UUID, UUID] = {}
    for event in events:
        if isinstance(event, ReservationStarted):
            others[event.reservation_id] = uuid4()
            others[receipt_id_of(event.reservation_id)] = receipt_id_of(others[event.reservation_id])

    def other(event: Event) -> Event:
        changes = {
            name: others.setdefault(getattr(event, name), uuid4()) for name in ALIASES if getattr(event, name, None)
        }
        return event.model_copy(update=changes)

    made = [other(event) for event in events]
    (reservation_id,) = {event.reservation_id for event in made if hasattr(event, "reservation_id")}  # type: ignore[attr-defined]
    return reservation_id, made


def seen_in(found: Thing) -> Thing:
    """What does not depend on ids."""
    payment, refund, receipt, product_part = (found[part] or {} for part in ("payment", "refund", "receipt", "product"))
    return {
        **{name: found[name] for name in ("status", "reason", "version", "price", "paid_at")},
        "timeline": sorted((line["what"], line["status"], line["reason"]) for line in found["timeline"]),
        "payment": payment.get("status"),
        "refund": (refund.get("status"), refund.get("amount")),
        "receipt": (receipt.get("status"), receipt.get("issued_at"), receipt.get("expected_delivery")),
        "product": product_part.get("name"),
    }


async def test_in_whatever_order_and_however_often_events_come_the_view_is_the_same(
    system: System, kim: Caller
) -> None:
    reservation = await a_cancelled_one(system, kim)
    events = await said_of(system, reservation)
    expected = seen_in(await entry(system, reservation))
    assert len(expected["timeline"]) == 10
    copies = [retold(events) for _ in range(6)]

    for seed, (_, made) in enumerate(copies):
        told = made * 2
        random.Random(seed).shuffle(told)
        await tell(system, *told)

    await system.wait_until_idle()
    for reservation_id, _ in copies:
        assert seen_in(await entry(system, reservation_id)) == expected


async def test_a_cancellation_that_comes_before_the_confirmation_is_not_undone_by_it(
    system: System, kim: Caller
) -> None:
    events = await said_of(system, await a_cancelled_one(system, kim))
    reservation_id, made = retold([event for event in events if event.owner() == "preorder.reservations"])

    await tell(system, made[-1])
    await shown(system, reservation_id, status="CANCELLED", product=None, payment=None, receipt=None)
    await tell(system, *made[:-1])

    await system.wait_until_idle()
    seen = await entry(system, reservation_id)
    assert (seen["status"], seen["version"]) == ("CANCELLED", 4)
    whats = [line["what"] for line in seen["timeline"] if line["what"].startswith("Reservation")]
    assert whats == [
        "ReservationStarted",
        "ReservationConfirmed",
        "ReservationCancelling",
        "ReservationCancelled",
    ]


async def test_a_row_is_there_from_the_moment_it_is_reserved(system: System, kim: Caller) -> None:
    waiting = asyncio.create_task(system.refused(reserve(await product(system), kim, "tok_slow")))

    async def rows() -> list[Thing]:
        return await mine(system, kim)

    (item,) = await eventually(rows)
    assert (item["status"], item["payment"], item["receipt"]) == ("AWAITING_PAYMENT", None, None)
    refusal = await waiting
    await shown(system, refusal, status="CANCELLED", reason="payment_unavailable")


async def test_a_look_right_after_a_change_waits_for_the_version_that_it_names(system: System, kim: Caller) -> None:
    for _ in range(3):
        reservation = await system.done(reserve(await product(system), kim))
        confirmed = await entry(system, reservation, min_version=reservation["version"], caller=kim)
        answer = await system.done(cancel(reservation, kim))
        cancelling = await entry(system, reservation, min_version=answer["version"], caller=kim)

        assert confirmed["version"] >= reservation["version"]
        assert cancelling["version"] >= answer["version"]


async def test_a_look_for_a_version_that_never_comes_is_answered_after_a_second(system: System, kim: Caller) -> None:
    reservation = await system.done(reserve(await product(system), kim))
    started = time.monotonic()

    seen = await entry(system, reservation, min_version=99, caller=kim)

    assert seen["status"] == "CONFIRMED"
    assert 0.9 < time.monotonic() - started < 2.5


async def test_pages_neither_skip_nor_repeat_and_a_status_narrows_them(system: System, kim: Caller) -> None:
    reservations = [await system.done(reserve(await product(system), kim)) for _ in range(5)]
    await system.done(cancel(reservations[2], kim))
    await cancelled(system, reservations[2])
    await system.wait_until_idle()
    seen, cursor = [], None

    while True:
        page = await system.done(ListMyReservations(member_id=kim.member_id, limit=2, cursor=cursor))
        seen += [item["reservation_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == [one["reservation_id"] for one in reversed(reservations)]
    (item,) = await mine(system, kim, ReservationStatus.CANCELLED)
    assert item["reservation_id"] == reservations[2]["reservation_id"]
    assert len(await mine(system, kim, ReservationStatus.CONFIRMED)) == 4


async def test_a_cursor_that_is_none_is_refused(system: System) -> None:
    assert (await system.refused(ListMyReservations(cursor="not-a-cursor")))["code"] == "invalid"


async def test_staff_see_everybodys(system: System, kim: Caller, lee: Caller) -> None:
    both = [await system.done(reserve(await product(system), member)) for member in (kim, lee)]
    await system.wait_until_idle()

    page = await system.done(ListMyReservations(limit=200))

    assert {id_of(one) for one in both} <= {id_of(item) for item in page["items"]}
    assert (await entry(system, both[0], caller=STAFF))["member_id"] == kim.member_id
