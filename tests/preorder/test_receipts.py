"""Receipts: as of the payment however late they come, and never one for what is cancelled."""

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
from tests.preorder.reserving import (
    PRICE,
    RECEIPTS,
    Thing,
    cancel,
    cancelled,
    product,
    receipts_of,
    reservation_of,
    reserve,
    shown,
    taken,
    tell,
)
from tests.support.town import STAFF, Town, customer, eventually
from workers.preorder.receipts.handlers import receipt_id_of


class Tale:
    """A reservation told by hand: reservations never heard of it."""

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

    async def receipt(self, town: Town) -> Thing:
        """Its one receipt, once nothing is under way."""
        await town.wait_until_idle()
        (receipt,) = await receipts_of(town, self.member)
        return receipt

    def told(self, town: Town) -> list[str]:
        """What was said of its receipt, in the order of its versions."""
        said = [(body["version"], topic) for topic, body in town.news if body.get("receipt_id") == str(self.receipt_id)]
        return [topic.rpartition(".")[2] for _, topic in sorted(said)]

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
async def test_a_receipt_is_issued_as_of_the_payment_not_of_its_writing(
    town: Town, paid_at: str, expected: str
) -> None:
    tale = Tale(datetime.fromisoformat(paid_at))

    await tell(town, tale.confirmed())

    receipt = await tale.receipt(town)
    assert (receipt["status"], receipt["expected_delivery"], receipt["amount"]) == ("ISSUED", expected, PRICE)
    assert datetime.fromisoformat(receipt["issued_at"]) == tale.paid_at
    assert receipt["created_at"] != receipt["issued_at"]


async def test_a_confirmation_that_is_told_again_issues_no_second_receipt(town: Town) -> None:
    tale = Tale()

    await tell(town, tale.confirmed(), tale.confirmed())
    await tell(town, *[tale.confirmed()] * 3, id=uuid4())

    assert (await tale.receipt(town))["version"] == 1
    assert tale.told(town) == ["receipt_issued"]


async def test_a_void_that_comes_first_leaves_a_tombstone_that_no_confirmation_gets_past(town: Town) -> None:
    tale = Tale()
    await tell(town, tale.void())
    tombstone = await tale.receipt(town)

    await tell(town, tale.confirmed(), tale.confirmed())

    assert await tale.receipt(town) == tombstone
    assert (tombstone["status"], tombstone["issued_at"], tombstone["expected_delivery"]) == ("VOIDED", None, None)
    assert tale.told(town) == ["receipt_voided"]


async def test_a_void_is_answered_by_its_event_at_each_repetition_and_changes_the_receipt_once(town: Town) -> None:
    tale = Tale()
    await tell(town, tale.confirmed())
    await tale.receipt(town)

    for _ in range(3):
        await tell(town, tale.void())

    receipt = await tale.receipt(town)
    assert (receipt["status"], receipt["version"], receipt["reason"]) == ("VOIDED", 2, "changed my mind")
    assert datetime.fromisoformat(receipt["issued_at"]) == tale.paid_at
    assert tale.told(town) == ["receipt_issued"] + ["receipt_voided"] * 3


@pytest.mark.parametrize("seed", range(4))
async def test_in_whatever_order_and_however_often_they_come_no_live_receipt_is_left(town: Town, seed: int) -> None:
    tales = [Tale() for _ in range(5)]
    messages: list[Any] = [message for tale in tales for message in (tale.confirmed(), tale.void()) * 2]
    random.Random(seed).shuffle(messages)

    await tell(town, *messages)

    for tale in tales:
        receipt = await tale.receipt(town)
        assert receipt["status"] == "VOIDED"
        assert tale.told(town)[-1] == "receipt_voided"


@asynccontextmanager
async def queue_of(town: Town, name: str) -> AsyncIterator[tuple[Any, Any]]:
    """A queue, and the exchange of events."""
    connection = await aio_pika.connect(town.settings.amqp_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        yield await channel.get_queue(name, ensure=False), await channel.get_exchange("yeyak.events", ensure=False)


async def test_a_cancel_overtakes_a_confirmation_that_is_held_back_and_no_live_receipt_appears(
    town: Town, kim: Caller
) -> None:
    await town.stop(RECEIPTS)
    reservation = await town.done(reserve(await product(town), kim))
    async with queue_of(town, f"{ReservationConfirmed.topic}@{RECEIPTS}") as (queue, exchange):
        held = await eventually(lambda: queue.get(fail=False))
        await held.ack()
        await town.done(cancel(reservation, kim))
        await town.start(RECEIPTS)
        ended = await cancelled(town, reservation)

        back = aio_pika.Message(
            held.body,
            message_id=held.message_id,
            type=held.type,
            app_id=held.app_id,
            timestamp=held.timestamp,
            headers=held.headers,
        )
        await exchange.publish(back, routing_key=ReservationConfirmed.topic)
        await town.wait_until_idle()

    assert (ended["receipt"]["status"], ended["receipt"]["issued_at"]) == ("VOIDED", None)
    assert [receipt["status"] for receipt in await receipts_of(town, kim)] == ["VOIDED"]
    assert not [body for body in town.said("preorder.receipts.receipt_issued") if body["member_id"] == kim.member_id]
    await shown(town, reservation, status="CANCELLED", receipt={"status": "VOIDED"}, refund={"status": "REFUNDED"})


async def test_receipts_that_were_down_come_later_as_of_their_payments(town: Town, kim: Caller) -> None:
    await town.stop(RECEIPTS)
    product_id = await product(town)
    reservation = await town.done(reserve(product_id, kim))
    seen = await shown(town, reservation, status="CONFIRMED", payment={"status": "APPROVED"})

    await town.start(RECEIPTS)

    later = await shown(town, reservation, receipt={"status": "ISSUED"})
    assert seen["receipt"] is None
    assert later["receipt"]["issued_at"] == reservation["paid_at"]

    async def heard() -> Thing | None:
        found: Thing | None = (await reservation_of(town, reservation))["receipt"]
        return found

    assert await eventually(heard) == later["receipt"]


async def test_a_cancellation_while_receipts_is_down_waits_for_its_receipt(town: Town, kim: Caller) -> None:
    reservation = await town.done(reserve(await product(town), kim))
    await shown(town, reservation, receipt={"status": "ISSUED"})
    await town.stop(RECEIPTS)

    await town.done(cancel(reservation, kim))
    half = await shown(town, reservation, status="CANCELLING", refund={"status": "REFUNDED"})
    await town.start(RECEIPTS)

    assert half["receipt"]["status"] == "ISSUED"
    assert (await cancelled(town, reservation))["receipt"]["status"] == "VOIDED"


async def test_reservations_that_hears_of_the_void_twice_at_once_ends_once(town: Town, kim: Caller) -> None:
    reservation = await town.done(reserve(await product(town), kim))
    await town.done(cancel(reservation, kim))
    await cancelled(town, reservation)
    (told,) = [body for body in town.said("preorder.receipts.receipt_voided") if body["member_id"] == kim.member_id]
    (refunded,) = [body for body in town.said("payments.refund_succeeded") if body["payer"] == kim.member_id]

    await tell(town, *[ReceiptVoided(**told), RefundSucceeded(**refunded)] * 3)
    await town.wait_until_idle()

    assert (await reservation_of(town, reservation))["version"] == 4
    assert await taken(town, UUID(reservation["product_id"])) == 0


async def test_a_receipt_is_the_members_own(town: Town, kim: Caller, lee: Caller) -> None:
    reservation = await town.done(reserve(await product(town), kim))
    receipt_id = receipt_id_of(UUID(reservation["reservation_id"]))

    mine = await town.done(ShowReceipt(receipt_id=receipt_id, caller=kim))
    theirs = await town.refused(ShowReceipt(receipt_id=receipt_id, caller=lee))

    assert (mine["member_id"], theirs) == (kim.member_id, {"code": "not_found"})
    assert (await town.done(ShowReceipt(receipt_id=receipt_id, caller=STAFF))) == mine
    assert await receipts_of(town, lee) == []
