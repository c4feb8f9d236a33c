"""Cancelling: the payment is refunded and the receipt voided, and then the reservation is CANCELLED."""

from __future__ import annotations

import asyncio
from functools import partial
from uuid import UUID

import pytest

from contracts.base import Caller
from contracts.preorder.reservations import ReservationStatus
from tests.preorder.helpers import (
    PRICE,
    RESERVATIONS,
    cancel,
    id_of,
    known_product,
    my_reservations,
    net_reservation_charge,
    receipts_of,
    reservation_events,
    reserve,
    taken_quota,
    view_of,
    wait_for_view,
    wait_until_cancelled,
)
from tests.support.failpoints import paused, until_reached
from tests.support.payments import refund_by_hand, refund_of_a_part, wait_for_payment, wait_for_void
from tests.support.system import STAFF, Json, System, eventually

DONE = ["reservation_started", "reservation_confirmed", "reservation_cancelling", "reservation_cancelled"]
CANCELLED_EARLY = ["reservation_started", "reservation_cancelling", "reservation_cancelled"]


async def test_a_cancellation_voids_the_receipt_and_refunds_the_payment(system: System, kim: Caller) -> None:
    product_id = await known_product(system, quota=1)
    reservation = await system.done(reserve(product_id, kim))
    await wait_for_view(system, reservation, receipt={"status": "ISSUED"})

    answer = await system.done(cancel(reservation, kim, "found another"))
    ended = await wait_until_cancelled(system, reservation)

    assert (answer["status"], answer["reason"]) == ("CANCELLING", "found another")
    assert (answer["refund"]["status"], answer["refund"]["amount"]) == ("PENDING", PRICE)
    assert (ended["reason"], ended["refund"]["status"], ended["receipt"]["status"]) == (
        "found another",
        "REFUNDED",
        "VOIDED",
    )
    assert (await net_reservation_charge(system, reservation), await taken_quota(system, product_id)) == (0, 0)
    seen = await wait_for_view(
        system,
        reservation,
        status="CANCELLED",
        payment={"status": "REFUNDED"},
        refund={"status": "REFUNDED", "amount": PRICE},
        receipt={"status": "VOIDED"},
    )
    assert seen["receipt"]["issued_at"] == seen["paid_at"]
    assert await reservation_events(system, reservation) == DONE
    (receipt,) = await receipts_of(system, kim)
    assert (receipt["status"], receipt["reason"]) == ("VOIDED", "found another")


async def test_the_timeline_has_every_event(system: System, kim: Caller) -> None:
    reservation = await system.done(reserve(await known_product(system), kim))
    await wait_for_view(system, reservation, receipt={"status": "ISSUED"})
    await system.done(cancel(reservation, kim))
    await wait_until_cancelled(system, reservation)
    await system.wait_until_idle()

    seen = await view_of(system, reservation, caller=kim)

    # a provider that answers late, on a busy machine, is a refund that failed and is tried again
    assert sorted({line["what"] for line in seen["timeline"]} - {"RefundFailed"}) == [
        "PaymentApproved",
        "PaymentRefunded",
        "ReceiptIssued",
        "ReceiptVoided",
        "RefundStarted",
        "RefundSucceeded",
        "ReservationCancelled",
        "ReservationCancelling",
        "ReservationConfirmed",
        "ReservationStarted",
    ]
    assert [line["at"] for line in seen["timeline"]] == sorted(line["at"] for line in seen["timeline"])


async def test_a_reservation_is_cancelled_once_refund_and_receipt_are_done(system: System, kim: Caller) -> None:
    reservation = await system.done(reserve(await known_product(system), kim, "tok_refund_error"))
    await system.done(cancel(reservation, kim))

    seen = await wait_for_view(system, reservation, status="CANCELLING", receipt={"status": "VOIDED"})

    assert seen["refund"] is None or seen["refund"]["status"] in ("PENDING", "REFUND_FAILED")
    assert (await wait_until_cancelled(system, reservation))["refund"]["status"] == "REFUNDED"
    assert await net_reservation_charge(system, reservation) == 0


@pytest.mark.parametrize("by", ["member", "staff"])
async def test_a_cancellation_without_a_reason_names_who_cancelled(system: System, kim: Caller, by: str) -> None:
    reservation = await system.done(reserve(await known_product(system), kim))

    answer = await system.done(cancel(reservation, kim if by == "member" else STAFF))

    assert answer["reason"] == f"cancelled_by_{by}"


async def test_cancelling_again_changes_nothing(system: System, kim: Caller) -> None:
    reservation = await system.done(reserve(await known_product(system), kim))
    first = await system.done(cancel(reservation, kim, "first"))

    second = await system.done(cancel(reservation, STAFF, "second"))
    await wait_until_cancelled(system, reservation)
    third = await system.done(cancel(reservation, kim, "third"))

    assert (first["status"], second["reason"]) == ("CANCELLING", "first")
    assert second["version"] - first["version"] == (second["status"] == "CANCELLED")
    assert (third["status"], third["reason"]) == ("CANCELLED", "first")
    assert await reservation_events(system, reservation) == DONE


async def test_ten_cancellations_at_once_refund_once(system: System, kim: Caller) -> None:
    product_id = await known_product(system, quota=1)
    reservation = await system.done(reserve(product_id, kim))

    answers = await asyncio.gather(*(system.done(cancel(reservation, kim)) for _ in range(10)))
    await wait_until_cancelled(system, reservation)

    assert {answer["version"] for answer in answers} <= {3, 4}
    given = "select amount from provider.refunds where charge_key = $1"
    refunds = await system.rows("provider", given, UUID(reservation["payment_id"]))
    assert ([row["amount"] for row in refunds], await taken_quota(system, product_id)) == ([PRICE], 0)


async def test_a_cancellation_does_not_refund_again_what_was_refunded_before(system: System, kim: Caller) -> None:
    reservation = await system.done(reserve(await known_product(system), kim))
    await system.publish(refund_of_a_part(reservation, 250_000))
    await wait_for_view(system, reservation, payment={"status": "PARTIALLY_REFUNDED"}, refund={"amount": 250_000})

    await system.done(cancel(reservation, kim))

    assert (await wait_until_cancelled(system, reservation))["refund"]["amount"] == PRICE - 250_000
    assert await net_reservation_charge(system, reservation) == 0


async def test_the_payment_of_a_confirmed_reservation_is_refunded_by_cancelling_it(system: System, kim: Caller) -> None:
    reservation = await system.done(reserve(await known_product(system), kim))

    refusal = await system.refused(refund_by_hand(reservation, 1))
    await system.done(cancel(reservation, kim))
    await wait_until_cancelled(system, reservation)
    afterwards = await system.refused(refund_by_hand(reservation, 1))

    href = f"/v1/preorder/reservations/{reservation['reservation_id']}/cancellation"
    where = {"business": RESERVATIONS, "object_id": reservation["reservation_id"], "href": href}
    assert refusal == {"code": "refund_through_business", **where}
    assert (afterwards["code"], afterwards["left"]) == ("refund_too_large", 0)


async def test_a_rejected_reservation_cannot_be_cancelled(system: System, kim: Caller) -> None:
    rejected = await system.refused(reserve(await known_product(system), kim, "tok_declined"))

    refusal = await system.refused(cancel(rejected, kim))

    assert refusal == {"code": "wrong_state", "current_status": "REJECTED", "allowed_actions": []}


# -- while the payment is pending


async def test_a_payment_approved_after_the_cancellation_is_voided_and_the_reply_is_cancelled(
    system: System, kim: Caller, lee: Caller
) -> None:
    product_id = await known_product(system, quota=1)
    await system.wait_until_idle()

    async with paused("payments", "committed") as pause:
        waiting = asyncio.create_task(system.request(reserve(product_id, kim)))
        await wait_for_payment(system, kim, "APPROVED")
        (pending,) = await eventually(partial(my_reservations, system, kim))
        answer = await system.done(cancel(pending, kim, "too slow"))
        pause.released.set()
        reply = await waiting

    assert (pending["status"], answer["status"], answer["reason"]) == ("AWAITING_PAYMENT", "CANCELLING", "too slow")
    assert reply.kind == "refused"
    code, refusal = await system.outcome(reserve(product_id, kim), id=id_of(pending))
    assert (code, refusal["reason"]) == ("cancelled", "too slow")
    ended = await wait_until_cancelled(system, pending)
    assert (ended["payment"]["status"], ended["receipt"], ended["refund"]) == ("VOIDED", None, None)
    assert (await net_reservation_charge(system, pending), await taken_quota(system, product_id)) == (0, 0)
    assert await receipts_of(system, kim) == []
    assert await reservation_events(system, pending) == CANCELLED_EARLY
    assert (await system.done(reserve(product_id, lee)))["status"] == "CONFIRMED"


async def test_a_charge_that_succeeds_after_the_cancellation_is_voided(system: System, kim: Caller) -> None:
    product_id = await known_product(system, quota=1)
    async with until_reached("payments", "started"):
        waiting = asyncio.create_task(system.outcome(reserve(product_id, kim, "tok_slow")))
    (pending,) = await eventually(partial(my_reservations, system, kim))

    answer = await system.done(cancel(pending, kim))
    code, refusal = await waiting

    assert (answer["status"], code, refusal["reservation_id"]) == ("CANCELLING", "cancelled", pending["reservation_id"])
    assert (await wait_until_cancelled(system, pending))["payment"]["status"] == "VOIDED"
    await wait_for_void(system, pending["payment_id"], PRICE)
    assert await taken_quota(system, product_id) == 0


async def test_a_cancellation_before_the_payment_request_leaves_a_tombstone_in_payments(
    system: System, kim: Caller
) -> None:
    product_id = await known_product(system)
    await system.wait_until_idle()

    async with paused(RESERVATIONS, "started") as pause:
        waiting = asyncio.create_task(system.outcome(reserve(product_id, kim)))
        (pending,) = await eventually(partial(my_reservations, system, kim))
        await system.done(cancel(pending, kim))
        ended = await wait_until_cancelled(system, pending)
        pause.released.set()
        code, _ = await waiting

    assert (code, ended["payment"]["status"]) == ("cancelled", "VOIDED")
    await system.wait_until_idle()
    rows = await system.rows("provider", "select 1 from provider.charges where key = $1", UUID(pending["payment_id"]))
    assert rows == []


async def test_a_declined_payment_that_was_cancelled_meanwhile_is_cancelled(system: System, kim: Caller) -> None:
    product_id = await known_product(system, quota=1)
    await system.wait_until_idle()

    async with paused("payments", "committed") as pause:
        waiting = asyncio.create_task(system.outcome(reserve(product_id, kim, "tok_declined")))
        await wait_for_payment(system, kim, "DECLINED")
        (pending,) = await eventually(partial(my_reservations, system, kim))
        await system.done(cancel(pending, kim))
        pause.released.set()
        code, _ = await waiting

    assert code == "cancelled"
    assert (await wait_until_cancelled(system, pending))["payment"]["status"] == "DECLINED"
    assert await taken_quota(system, product_id) == 0


async def test_a_reason_that_equals_a_code_does_not_change_the_reply(system: System, kim: Caller) -> None:
    waiting = asyncio.create_task(system.outcome(reserve(await known_product(system), kim, "tok_slow")))
    (pending,) = await eventually(partial(my_reservations, system, kim))

    await system.done(cancel(pending, kim, "payment_unavailable"))

    assert (await waiting)[0] == "cancelled"


async def test_of_a_cancellation_and_an_approval_at_once_the_first_decides(system: System, kim: Caller) -> None:
    """Cancel at different moments of a reservation: there are no discrepancies, and the answer agrees with the row."""

    async def once(delay: float) -> tuple[str, str]:
        waiting = asyncio.create_task(system.outcome(command := reserve(await known_product(system, quota=1), kim)))
        (pending,) = await eventually(lambda: of_product(str(command.product_id)), every=0.002)
        await asyncio.sleep(delay)
        await system.done(cancel(pending, kim))
        code, _ = await waiting
        ended = await wait_until_cancelled(system, pending)
        return code, ended["refund"]["status"] if ended["refund"] else ended["payment"]["status"]

    async def of_product(product_id: str) -> list[Json]:
        return [item for item in await my_reservations(system, kim) if item["product_id"] == product_id]

    outcomes = await asyncio.gather(*(once(number * 0.004) for number in range(10)))

    assert set(outcomes) <= {("cancelled", "VOIDED"), ("done", "REFUNDED")}
    await system.wait_until_idle()
    assert len(await my_reservations(system, kim, ReservationStatus.CANCELLED)) == 10
