"""My reservations has the newest state, in whatever order events come and however often."""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial
from uuid import UUID, uuid4

from contracts.base import CATALOGUE, Caller, Event
from contracts.preorder.my_reservations import ListMyReservations
from contracts.preorder.reservations import ReservationStarted, ReservationStatus
from tests.preorder.helpers import (
    cancel,
    id_of,
    known_product,
    my_reservations,
    reserve,
    view_of,
    wait_for_view,
    wait_until_cancelled,
)
from tests.support.system import STAFF, Json, System, eventually
from workers.preorder.receipts.handlers import receipt_id_of


async def cancelled_reservation(system: System, member: Caller) -> Json:
    reservation = await system.done(reserve(await known_product(system, name="Nabi 2"), member))
    await wait_for_view(system, reservation, receipt={"status": "ISSUED"})
    await system.done(cancel(reservation, member, "no time"))
    return await wait_until_cancelled(system, reservation)


async def events_about(system: System, reservation: Json) -> list[Event]:
    """Every event about one reservation, its payment and its product, in the order of publication."""
    await system.wait_until_idle()
    known = {reservation["reservation_id"], reservation["payment_id"], reservation["product_id"]}
    keys = ("reservation_id", "payment_id", "product_id")
    found = [(topic, body) for topic, body in system.events if any(body.get(key) in known for key in keys)]
    return [CATALOGUE[topic].model_validate(body) for topic, body in found]  # type: ignore[misc]


ID_FIELDS = ("reservation_id", "payment_id", "product_id", "refund_id", "receipt_id")


def with_new_ids(events: list[Event]) -> tuple[UUID, list[Event]]:
    """The same events with new ids, and the new reservation's id; the receipt has the id that receipts derives."""
    others: dict[UUID, UUID] = {}
    for event in events:
        if isinstance(event, ReservationStarted):
            others[event.reservation_id] = uuid4()
            others[receipt_id_of(event.reservation_id)] = receipt_id_of(others[event.reservation_id])

    def other(event: Event) -> Event:
        changes = {
            name: others.setdefault(getattr(event, name), uuid4()) for name in ID_FIELDS if getattr(event, name, None)
        }
        return event.model_copy(update=changes)

    made = [other(event) for event in events]
    (reservation_id,) = {event.reservation_id for event in made if hasattr(event, "reservation_id")}  # type: ignore[attr-defined]
    return reservation_id, made


def without_ids(found: Json) -> Json:
    """The fields that do not depend on ids."""
    payment, refund, receipt, product_part = (found[part] or {} for part in ("payment", "refund", "receipt", "product"))
    return {
        **{name: found[name] for name in ("status", "reason", "version", "price", "paid_at")},
        "timeline": sorted((line["what"], line["status"], line["reason"]) for line in found["timeline"]),
        "payment": payment.get("status"),
        "refund": (refund.get("status"), refund.get("amount")),
        "receipt": (receipt.get("status"), receipt.get("issued_at"), receipt.get("expected_delivery")),
        "product": product_part.get("name"),
    }


async def test_events_in_any_order_and_twice_give_the_same_view(system: System, kim: Caller) -> None:
    reservation = await cancelled_reservation(system, kim)
    events = await events_about(system, reservation)
    expected = without_ids(await view_of(system, reservation))
    assert len(expected["timeline"]) == 10
    copies = [with_new_ids(events) for _ in range(6)]

    for seed, (_, made) in enumerate(copies):
        shuffled = made * 2
        random.Random(seed).shuffle(shuffled)
        await system.publish(*shuffled)

    await system.wait_until_idle()
    for reservation_id, _ in copies:
        assert without_ids(await view_of(system, reservation_id)) == expected


async def test_a_cancellation_that_comes_before_the_confirmation_is_not_undone_by_it(
    system: System, kim: Caller
) -> None:
    events = await events_about(system, await cancelled_reservation(system, kim))
    reservation_id, made = with_new_ids([event for event in events if event.owner() == "preorder.reservations"])

    await system.publish(made[-1])
    await wait_for_view(system, reservation_id, status="CANCELLED", product=None, payment=None, receipt=None)
    await system.publish(*made[:-1])

    await system.wait_until_idle()
    seen = await view_of(system, reservation_id)
    assert (seen["status"], seen["version"]) == ("CANCELLED", 4)
    whats = [line["what"] for line in seen["timeline"] if line["what"].startswith("Reservation")]
    assert whats == [
        "ReservationStarted",
        "ReservationConfirmed",
        "ReservationCancelling",
        "ReservationCancelled",
    ]


async def test_a_reservation_is_in_the_view_while_it_awaits_its_payment(system: System, kim: Caller) -> None:
    waiting = asyncio.create_task(system.refused(reserve(await known_product(system), kim, "tok_slow")))

    (item,) = await eventually(partial(my_reservations, system, kim))
    assert (item["status"], item["payment"], item["receipt"]) == ("AWAITING_PAYMENT", None, None)
    refusal = await waiting
    await wait_for_view(system, refusal, status="CANCELLED", reason="payment_unavailable")


async def test_a_query_right_after_a_change_waits_for_the_version_that_it_names(system: System, kim: Caller) -> None:
    for _ in range(3):
        reservation = await system.done(reserve(await known_product(system), kim))
        confirmed = await view_of(system, reservation, min_version=reservation["version"], caller=kim)
        answer = await system.done(cancel(reservation, kim))
        cancelling = await view_of(system, reservation, min_version=answer["version"], caller=kim)

        assert confirmed["version"] >= reservation["version"]
        assert cancelling["version"] >= answer["version"]


async def test_a_query_for_a_version_that_never_comes_is_answered_after_a_second(system: System, kim: Caller) -> None:
    reservation = await system.done(reserve(await known_product(system), kim))
    started = time.monotonic()

    seen = await view_of(system, reservation, min_version=99, caller=kim)

    assert seen["status"] == "CONFIRMED"
    assert 0.9 < time.monotonic() - started < 2.5


async def test_pages_neither_skip_nor_repeat_and_can_be_filtered(system: System, kim: Caller) -> None:
    reservations = [await system.done(reserve(await known_product(system), kim)) for _ in range(5)]
    await system.done(cancel(reservations[2], kim))
    await wait_until_cancelled(system, reservations[2])
    await system.wait_until_idle()

    items = await system.items(ListMyReservations(member_id=kim.member_id, limit=2))

    assert [item["reservation_id"] for item in items] == [one["reservation_id"] for one in reversed(reservations)]
    (item,) = await my_reservations(system, kim, ReservationStatus.CANCELLED)
    assert item["reservation_id"] == reservations[2]["reservation_id"]
    assert len(await my_reservations(system, kim, ReservationStatus.CONFIRMED)) == 4


async def test_an_invalid_cursor_is_refused(system: System) -> None:
    assert (await system.refused(ListMyReservations(cursor="not-a-cursor")))["code"] == "invalid"


async def test_staff_see_the_reservations_of_all_members(system: System, kim: Caller, lee: Caller) -> None:
    both = [await system.done(reserve(await known_product(system), member)) for member in (kim, lee)]
    await system.wait_until_idle()

    page = await system.done(ListMyReservations(limit=200))

    assert {id_of(one) for one in both} <= {id_of(item) for item in page["items"]}
    assert (await view_of(system, both[0], caller=STAFF))["member_id"] == kim.member_id
