"""Reserving: a payment is approved, and a phone of the quota is taken."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

import pytest

from contracts.base import Caller
from contracts.preorder.products import ChangeProduct, ProductStatus, RegisterProduct
from contracts.preorder.reservations import CountFree
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
    reservation_of,
    reserve,
    taken_quota,
    wait_for_view,
    wait_until_cancelled,
)
from tests.support.system import STAFF, System
from workers.preorder.receipts.rules import expected_delivery


async def changed(system: System, product_id: UUID, **changes: object) -> None:
    """Change a product, and wait until reservations knows the change."""
    version = (await system.done(ChangeProduct.model_validate({"product_id": product_id, **changes})))["version"]

    query = "select 1 from preorder_reservations.products where product_id = $1 and version >= $2"
    await system.wait_for_rows(RESERVATIONS, query, product_id, version)


async def test_a_paid_reservation_is_confirmed_and_gets_a_receipt(system: System, kim: Caller) -> None:
    product_id = await known_product(system, quota=2, name="Byeol")

    reservation = await system.done(reserve(product_id, kim))

    assert (reservation["status"], reservation["price"], reservation["member_id"]) == (
        "CONFIRMED",
        PRICE,
        kim.member_id,
    )
    assert reservation["payment"] == {
        "payment_id": reservation["payment_id"],
        "status": "APPROVED",
        "amount": PRICE,
    }
    assert (await taken_quota(system, product_id), await net_reservation_charge(system, reservation)) == (1, PRICE)
    known = {"payment": {"status": "APPROVED"}, "product": {"name": "Byeol"}, "receipt": {"status": "ISSUED"}}
    seen = await wait_for_view(system, reservation, status="CONFIRMED", **known)
    assert seen["payment"] == reservation["payment"]
    assert (seen["receipt"]["issued_at"], seen["refund"]) == (seen["paid_at"], None)
    paid_at = datetime.fromisoformat(seen["paid_at"])
    assert seen["receipt"]["expected_delivery"] == expected_delivery(paid_at).isoformat()
    whats = [line["what"] for line in seen["timeline"]]
    assert whats[0] == "ReservationStarted"
    assert sorted(whats) == ["PaymentApproved", "ReceiptIssued", "ReservationConfirmed", "ReservationStarted"]


async def test_the_receipt_is_issued_when_payments_approved(system: System, kim: Caller) -> None:
    reservation = await system.done(reserve(await known_product(system), kim))
    await system.wait_until_idle()

    (approved,) = system.events_of("payments.payment_approved", payer=kim.member_id)
    (receipt,) = await receipts_of(system, kim)

    assert receipt["issued_at"] == reservation["paid_at"] == approved["modified_at"]
    assert (receipt["amount"], receipt["reservation_id"]) == (PRICE, reservation["reservation_id"])


async def test_the_reservation_has_the_id_of_the_request_and_a_repeat_changes_nothing(
    system: System, kim: Caller
) -> None:
    request_id, command = uuid4(), reserve(await known_product(system), kim)

    first = await system.outcome(command, id=request_id)
    second = await system.outcome(command, id=request_id)

    assert first == second
    assert first[1]["reservation_id"] == str(request_id)
    await system.wait_until_idle()
    assert len(await my_reservations(system, kim)) == 1


async def test_no_event_has_confirmed_before_the_payment_is_approved(system: System, kim: Caller) -> None:
    reservation = await system.done(reserve(await known_product(system), kim))
    await system.wait_until_idle()

    (confirmed,) = system.events_of(
        "preorder.reservations.reservation_confirmed", reservation_id=reservation["reservation_id"]
    )

    assert confirmed["paid_at"] <= confirmed["modified_at"]
    assert await reservation_events(system, reservation) == ["reservation_started", "reservation_confirmed"]


async def test_a_declined_payment_is_kept_with_its_reason_and_frees_the_place(
    system: System, kim: Caller, lee: Caller
) -> None:
    product_id = await known_product(system, quota=1)

    refusal = await system.refused(reserve(product_id, kim, "tok_declined"))
    reservation = await system.done(reserve(product_id, lee))

    assert (refusal["code"], refusal["reason"]) == ("payment_declined", "insufficient_funds")
    assert reservation["status"] == "CONFIRMED"
    seen = await wait_for_view(system, refusal, status="REJECTED", payment={"status": "DECLINED"})
    assert (seen["reason"], seen["receipt"], seen["refund"]) == ("insufficient_funds", None, None)
    assert await reservation_events(system, refusal) == ["reservation_started", "reservation_rejected"]
    assert (await reservation_of(system, refusal))["status"] == "REJECTED"


async def test_a_closed_product_cannot_be_reserved_until_it_is_open_again(system: System, kim: Caller) -> None:
    product_id = await known_product(system)
    await changed(system, product_id, status=ProductStatus.CLOSED)

    refusal = await system.refused(reserve(product_id, kim))
    await changed(system, product_id, status=ProductStatus.OPEN)

    assert refusal == {"code": "closed"}
    assert (await system.done(reserve(product_id, kim)))["status"] == "CONFIRMED"


async def test_closed_comes_before_already_reserved_and_that_before_quota_full(system: System, kim: Caller) -> None:
    product_id = await known_product(system, quota=1)
    await system.done(reserve(product_id, kim))

    mine_again = await system.refused(reserve(product_id, kim))
    another = await system.refused(reserve(product_id))
    await changed(system, product_id, status=ProductStatus.CLOSED)
    closed = await system.refused(reserve(product_id, kim))

    assert [one["code"] for one in (mine_again, another, closed)] == ["already_reserved", "quota_full", "closed"]


async def test_a_closed_products_reservation_can_still_be_cancelled(system: System, kim: Caller) -> None:
    product_id = await known_product(system)
    reservation = await system.done(reserve(product_id, kim))
    await changed(system, product_id, status=ProductStatus.CLOSED)

    await system.done(cancel(reservation, kim))

    assert (await wait_until_cancelled(system, reservation))["refund"]["status"] == "REFUNDED"


async def test_a_product_that_does_not_exist_is_not_found(system: System) -> None:
    assert await system.refused(reserve(uuid4())) == {"code": "not_found"}


async def test_a_product_can_be_reserved_from_the_moment_it_is_registered(system: System) -> None:
    for _ in range(3):
        made = await system.done(RegisterProduct(name="Dal 3", price=900_000, caller=STAFF))

        assert (await system.done(reserve(UUID(made["product_id"]))))["price"] == 900_000


async def test_a_later_price_does_not_touch_a_reservation(system: System, kim: Caller) -> None:
    product_id = await known_product(system, price=1000)
    reservation = await system.done(reserve(product_id, kim))

    await changed(system, product_id, price=9000)

    assert (await system.done(reserve(product_id)))["price"] == 9000
    assert (await reservation_of(system, reservation))["price"] == 1000
    seen = await wait_for_view(system, reservation, product={"price": 9000})
    assert seen["price"] == 1000


# -- one active reservation per member and model


async def test_one_member_reserves_two_models(system: System, kim: Caller) -> None:
    for _ in range(2):
        await system.done(reserve(await known_product(system), kim))

    await system.wait_until_idle()
    assert [item["status"] for item in await my_reservations(system, kim)] == ["CONFIRMED"] * 2


async def test_a_member_who_reserves_ten_times_at_once_has_one_reservation(system: System, kim: Caller) -> None:
    product_id = await known_product(system, quota=10)

    outcomes = await system.outcomes(reserve(product_id, kim) for _ in range(10))

    assert sorted(code for code, _ in outcomes) == ["already_reserved"] * 9 + ["done"]
    assert await taken_quota(system, product_id) == 1


async def test_who_was_declined_or_has_cancelled_may_reserve_again(system: System, kim: Caller) -> None:
    product_id = await known_product(system, quota=1)
    await system.refused(reserve(product_id, kim, "tok_declined"))
    first = await system.done(reserve(product_id, kim))
    await system.done(cancel(first, kim))
    await wait_until_cancelled(system, first)

    second = await system.done(reserve(product_id, kim))

    assert (second["status"], await taken_quota(system, product_id)) == ("CONFIRMED", 1)
    await system.wait_until_idle()
    assert [item["status"] for item in await my_reservations(system, kim)] == ["CONFIRMED", "CANCELLED", "REJECTED"]


# -- the quota


async def test_a_hundred_members_want_the_last_one_and_exactly_one_gets_it(system: System) -> None:
    product_id = await known_product(system, quota=1)

    outcomes = await system.outcomes(reserve(product_id) for _ in range(100))

    codes = [code for code, _ in outcomes]
    assert (codes.count("done"), codes.count("quota_full")) == (1, 99)
    assert await taken_quota(system, product_id) == 1


async def test_a_place_that_a_declined_member_leaves_goes_to_another_and_never_to_two(system: System) -> None:
    product_id = await known_product(system, quota=3)
    tokens = ["tok_declined", "tok_visa"] * 12

    outcomes = await system.outcomes(reserve(product_id, token=token) for token in tokens)
    await system.outcome(reserve(product_id))
    late = [await system.outcome(reserve(product_id)) for _ in range(3)]

    done = [body for code, body in [*outcomes, *late] if code == "done"]
    assert len(done) <= 3
    assert await taken_quota(system, product_id) == 3


@pytest.mark.parametrize("quota", [0, 1])
async def test_a_quota_lowered_below_what_is_taken_is_full_until_enough_is_cancelled(
    system: System, quota: int
) -> None:
    product_id = await known_product(system, quota=3)
    held = [await system.done(reserve(product_id)) for _ in range(3)]

    await changed(system, product_id, quota=quota)

    for reservation in held[quota:]:
        assert (await system.refused(reserve(product_id)))["code"] == "quota_full"
        await system.done(cancel(reservation))
        await wait_until_cancelled(system, reservation)
    assert (await system.refused(reserve(product_id)))["code"] == "quota_full"
    assert await taken_quota(system, product_id) == quota
    await changed(system, product_id, quota=quota + 1)
    assert (await system.done(reserve(product_id)))["status"] == "CONFIRMED"


async def test_a_place_is_free_when_the_cancellation_is_through_and_not_before(
    system: System, kim: Caller, lee: Caller
) -> None:
    product_id = await known_product(system, quota=1)
    reservation = await system.done(reserve(product_id, kim, "tok_refund_error"))
    await system.done(cancel(reservation, kim))

    full = await system.refused(reserve(product_id, lee))
    status = (await reservation_of(system, reservation))["status"]

    assert (full["code"], status) == ("quota_full", "CANCELLING")
    assert (await system.refused(reserve(product_id, kim)))["code"] == "already_reserved"
    assert id_of(await wait_until_cancelled(system, reservation)) == id_of(reservation)
    assert (await system.done(reserve(product_id, lee)))["status"] == "CONFIRMED"


async def test_the_free_part_of_a_quota_is_counted(system: System, kim: Caller) -> None:
    limited, unlimited = await known_product(system, quota=2), await known_product(system)

    await system.done(reserve(limited, kim))

    assert await left(system, limited, unlimited) == {str(limited): 1}
    await changed(system, limited, quota=0)
    assert await left(system, limited) == {str(limited): 0}
    await changed(system, limited, quota=5, status=ProductStatus.CLOSED)
    assert await left(system, limited) == {str(limited): 0}


async def left(system: System, *product_ids: UUID) -> dict[str, int]:
    counts = (await system.done(CountFree(product_ids=list(product_ids))))["counts"]
    return {count["product_id"]: count["free"] for count in counts}


async def test_another_price_than_expected_reserves_nothing(system: System, kim: Caller) -> None:
    product_id = await known_product(system, quota=1)

    refusal = await system.refused(reserve(product_id, kim).model_copy(update={"expected_price": PRICE - 1}))
    reservation = await system.done(reserve(product_id, kim).model_copy(update={"expected_price": PRICE}))

    assert refusal == {"code": "price_changed", "price": PRICE}
    assert reservation["status"] == "CONFIRMED"


async def test_a_model_of_another_version_is_not_changed(system: System) -> None:
    product_id = await known_product(system)

    stale = await system.refused(ChangeProduct(product_id=product_id, price=1, expected_version=2))
    changed = await system.done(ChangeProduct(product_id=product_id, price=1, expected_version=1))

    assert stale == {"code": "stale_version", "version": 1}
    assert (changed["price"], changed["version"]) == (1, 2)


async def test_a_reservation_whose_answer_is_forgotten_is_answered_as_it_is(system: System, kim: Caller) -> None:
    product_id = await known_product(system)

    first, again = await system.again_with_an_old_key(RESERVATIONS, reserve(product_id, kim))

    assert again["reservation_id"] == first["reservation_id"]
