"""Receipts: dated by the payment however late they are issued, and none for a cancelled reservation."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import pytest

from contracts.base import Caller
from contracts.payments import RefundSucceeded
from contracts.preorder.receipts import ReceiptVoided, ShowReceipt, VoidReceipt
from contracts.preorder.reservations import ReservationConfirmed, ReservationStatus
from tests.preorder.helpers import (
    PRICE,
    RECEIPTS,
    cancel,
    known_product,
    receipts_of,
    reservation_of,
    reserve,
    taken_quota,
    wait_for_reservation,
    wait_for_view,
    wait_until_cancelled,
)
from tests.support.system import STAFF, Json, System, customer, eventually
from workers.preorder.receipts.handlers import receipt_id_of


class ReservationMessages:
    """The messages that reservations sends to receipts, about a reservation that it does not know."""

    def __init__(self, paid_at: datetime = datetime(2026, 1, 31, 3, tzinfo=UTC)) -> None:
        self.reservation_id, self.product_id, self.payment_id = uuid4(), uuid4(), uuid4()
        self.paid_at = paid_at
        self.member = customer()

    def confirmed(self) -> ReservationConfirmed:
        return ReservationConfirmed(
            reservation_id=self.reservation_id,
            product_id=self.product_id,
            member_id=self.member.member_id,
            price=PRICE,
            status=ReservationStatus.CONFIRMED,
            reason=None,
            payment_id=self.payment_id,
            paid_at=self.paid_at,
            created_at=self.paid_at,
            modified_at=self.paid_at,
            version=2,
        )

    def void(self) -> VoidReceipt:
        return VoidReceipt(
            reservation_id=self.reservation_id,
            member_id=self.member.member_id,
            product_id=self.product_id,
            amount=PRICE,
            reason="changed my mind",
        )

    async def receipt(self, system: System) -> Json:
        """The reservation's one receipt, once nothing is pending."""
        await system.wait_until_idle()
        (receipt,) = await receipts_of(system, self.member)
        return receipt

    def receipt_events(self, system: System) -> list[str]:
        """The names of all events about the receipt, in the order of its versions; repeats are kept."""
        found = [
            (body["version"], topic) for topic, body in system.events if body.get("receipt_id") == str(self.receipt_id)
        ]
        return [topic.rpartition(".")[2] for _, topic in sorted(found)]

    @property
    def receipt_id(self) -> UUID:
        return receipt_id_of(self.reservation_id)


@pytest.mark.parametrize(
    ("paid_at", "expected"),
    [
        ("2026-01-31T03:00:00Z", "2026-02-21"),
        ("2026-01-31T15:00:00Z", "2026-02-22"),
        ("2026-12-31T14:59:59Z", "2027-01-21"),
    ],
)
async def test_a_receipt_has_the_date_of_its_payment(system: System, paid_at: str, expected: str) -> None:
    reservation = ReservationMessages(datetime.fromisoformat(paid_at))

    await system.publish(reservation.confirmed())

    receipt = await reservation.receipt(system)
    assert (receipt["status"], receipt["expected_delivery"], receipt["amount"]) == ("ISSUED", expected, PRICE)
    assert datetime.fromisoformat(receipt["issued_at"]) == reservation.paid_at
    assert receipt["created_at"] != receipt["issued_at"]


async def test_a_repeated_confirmation_issues_no_second_receipt(system: System) -> None:
    reservation = ReservationMessages()

    await system.publish(reservation.confirmed(), reservation.confirmed())
    await system.publish(*[reservation.confirmed()] * 3, id=uuid4())

    assert (await reservation.receipt(system))["version"] == 1
    assert reservation.receipt_events(system) == ["receipt_issued"]


async def test_a_void_that_comes_first_leaves_a_tombstone_and_no_receipt_is_issued(system: System) -> None:
    reservation = ReservationMessages()
    await system.publish(reservation.void())
    tombstone = await reservation.receipt(system)

    await system.publish(reservation.confirmed(), reservation.confirmed())

    assert await reservation.receipt(system) == tombstone
    assert (tombstone["status"], tombstone["issued_at"], tombstone["expected_delivery"]) == ("VOIDED", None, None)
    assert reservation.receipt_events(system) == ["receipt_voided"]


async def test_a_void_is_answered_by_its_event_at_each_repetition_and_changes_the_receipt_once(system: System) -> None:
    reservation = ReservationMessages()
    await system.publish(reservation.confirmed())
    await reservation.receipt(system)

    for _ in range(3):
        await system.publish(reservation.void())

    receipt = await reservation.receipt(system)
    assert (receipt["status"], receipt["version"], receipt["reason"]) == ("VOIDED", 2, "changed my mind")
    assert datetime.fromisoformat(receipt["issued_at"]) == reservation.paid_at
    assert reservation.receipt_events(system) == ["receipt_issued"] + ["receipt_voided"] * 3


@pytest.mark.parametrize("seed", range(4))
async def test_confirmations_and_voids_in_any_order_leave_no_issued_receipt(system: System, seed: int) -> None:
    reservations = [ReservationMessages() for _ in range(5)]
    messages: list[Any] = [
        message for reservation in reservations for message in (reservation.confirmed(), reservation.void()) * 2
    ]
    random.Random(seed).shuffle(messages)

    await system.publish(*messages)

    for reservation in reservations:
        receipt = await reservation.receipt(system)
        assert receipt["status"] == "VOIDED"
        assert reservation.receipt_events(system)[-1] == "receipt_voided"


@asynccontextmanager
async def queue_of(system: System, name: str) -> AsyncIterator[tuple[Any, Any]]:
    """A queue and the exchange of events."""
    connection = await aio_pika.connect(system.settings.amqp_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        yield await channel.get_queue(name, ensure=False), await channel.get_exchange("yeyak.events", ensure=False)


async def test_a_cancellation_that_overtakes_the_confirmation_leaves_no_issued_receipt(
    system: System, kim: Caller
) -> None:
    await system.stop(RECEIPTS)
    reservation = await system.done(reserve(await known_product(system), kim))
    async with queue_of(system, f"{ReservationConfirmed.topic}@{RECEIPTS}") as (queue, exchange):
        held = await eventually(lambda: queue.get(fail=False))
        await held.ack()
        await system.done(cancel(reservation, kim))
        await system.start(RECEIPTS)
        ended = await wait_until_cancelled(system, reservation)

        back = aio_pika.Message(
            held.body,
            message_id=held.message_id,
            type=held.type,
            app_id=held.app_id,
            timestamp=held.timestamp,
            headers=held.headers,
        )
        await exchange.publish(back, routing_key=ReservationConfirmed.topic)
        await system.wait_until_idle()

    assert (ended["receipt"]["status"], ended["receipt"]["issued_at"]) == ("VOIDED", None)
    assert [receipt["status"] for receipt in await receipts_of(system, kim)] == ["VOIDED"]
    assert not system.events_of("preorder.receipts.receipt_issued", member_id=kim.member_id)
    await wait_for_view(
        system, reservation, status="CANCELLED", receipt={"status": "VOIDED"}, refund={"status": "REFUNDED"}
    )


async def test_receipts_issued_after_an_outage_have_the_date_of_their_payment(system: System, kim: Caller) -> None:
    await system.stop(RECEIPTS)
    product_id = await known_product(system)
    reservation = await system.done(reserve(product_id, kim))
    seen = await wait_for_view(system, reservation, status="CONFIRMED", payment={"status": "APPROVED"})

    await system.start(RECEIPTS)

    later = await wait_for_view(system, reservation, receipt={"status": "ISSUED"})
    assert seen["receipt"] is None
    assert later["receipt"]["issued_at"] == reservation["paid_at"]

    await wait_for_reservation(system, reservation, receipt=later["receipt"])


async def test_a_cancellation_while_receipts_is_stopped_waits_for_its_receipt(system: System, kim: Caller) -> None:
    reservation = await system.done(reserve(await known_product(system), kim))
    await wait_for_view(system, reservation, receipt={"status": "ISSUED"})
    await system.stop(RECEIPTS)

    await system.done(cancel(reservation, kim))
    half = await wait_for_view(system, reservation, status="CANCELLING", refund={"status": "REFUNDED"})
    await system.start(RECEIPTS)

    assert half["receipt"]["status"] == "ISSUED"
    assert (await wait_until_cancelled(system, reservation))["receipt"]["status"] == "VOIDED"


async def test_repeated_void_and_refund_events_end_a_reservation_once(system: System, kim: Caller) -> None:
    reservation = await system.done(reserve(await known_product(system), kim))
    await system.done(cancel(reservation, kim))
    await wait_until_cancelled(system, reservation)
    (voided,) = system.events_of("preorder.receipts.receipt_voided", member_id=kim.member_id)
    (refunded,) = system.events_of("payments.refund_succeeded", payer=kim.member_id)

    await system.publish(*[ReceiptVoided(**voided), RefundSucceeded(**refunded)] * 3)
    await system.wait_until_idle()

    assert (await reservation_of(system, reservation))["version"] == 4
    assert await taken_quota(system, UUID(reservation["product_id"])) == 0


async def test_a_member_sees_only_their_own_receipts(system: System, kim: Caller, lee: Caller) -> None:
    reservation = await system.done(reserve(await known_product(system), kim))
    receipt_id = receipt_id_of(UUID(reservation["reservation_id"]))

    mine = await system.done(ShowReceipt(receipt_id=receipt_id, caller=kim))
    theirs = await system.refused(ShowReceipt(receipt_id=receipt_id, caller=lee))

    assert (mine["member_id"], theirs) == (kim.member_id, {"code": "not_found"})
    assert (await system.done(ShowReceipt(receipt_id=receipt_id, caller=STAFF))) == mine
    assert await receipts_of(system, lee) == []
