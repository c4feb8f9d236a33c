"""Reserving: pay, and a phone is yours."""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import UUID, uuid4

import pytest

from contracts.base import Caller
from contracts.preorder.products import ChangeProduct, ProductStatus, RegisterProduct
from contracts.preorder.reservations import CountFree
from tests.preorder.reserving import (
    PRICE,
    RESERVATIONS,
    attempt,
    cancel,
    cancelled,
    id_of,
    kept,
    mine,
    product,
    receipts_of,
    reservation_of,
    reserve,
    shown,
    taken,
    told_of,
)
from tests.support.town import STAFF, Town, eventually
from workers.preorder.receipts.rules import expected_delivery


async def changed(town: Town, product_id: UUID, **changes: object) -> None:
    """Change a product, until reservations has heard of it."""
    version = (await town.done(ChangeProduct.model_validate({"product_id": product_id, **changes})))["version"]

    async def heard() -> bool:
        query = "select 1 from preorder_reservations.products where product_id = $1 and version >= $2"
        return bool(await town.rows(RESERVATIONS, query, product_id, version))

    await eventually(heard)


async def test_a_paid_reservation_is_confirmed_and_gets_a_receipt(town: Town, kim: Caller) -> None:
    product_id = await product(town, quota=2, name="Byeol")

    reservation = await town.done(reserve(product_id, kim))

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
    assert (await taken(town, product_id), await kept(town, reservation)) == (1, PRICE)
    known = {"payment": {"status": "APPROVED"}, "product": {"name": "Byeol"}, "receipt": {"status": "ISSUED"}}
    seen = await shown(town, reservation, status="CONFIRMED", **known)
    assert seen["payment"] == reservation["payment"]
    assert (seen["receipt"]["issued_at"], seen["refund"]) == (seen["paid_at"], None)
    paid_at = datetime.fromisoformat(seen["paid_at"])
    assert seen["receipt"]["expected_delivery"] == expected_delivery(paid_at).isoformat()
    whats = [line["what"] for line in seen["timeline"]]
    assert whats[0] == "ReservationStarted"
    assert sorted(whats) == ["PaymentApproved", "ReceiptIssued", "ReservationConfirmed", "ReservationStarted"]


async def test_the_receipt_is_issued_when_payments_approved(town: Town, kim: Caller) -> None:
    reservation = await town.done(reserve(await product(town), kim))
    await town.wait_until_idle()

    (approved,) = [body for body in town.said("payments.payment_approved") if body["payer"] == kim.member_id]
    (receipt,) = await receipts_of(town, kim)

    assert receipt["issued_at"] == reservation["paid_at"] == approved["modified_at"]
    assert (receipt["amount"], receipt["reservation_id"]) == (PRICE, reservation["reservation_id"])


async def test_the_reservation_takes_the_id_of_the_request_and_a_repeat_changes_nothing(
    town: Town, kim: Caller
) -> None:
    request_id, wish = uuid4(), reserve(await product(town), kim)

    first = await attempt(town, wish, id=request_id)
    second = await attempt(town, wish, id=request_id)

    assert first == second
    assert first[1]["reservation_id"] == str(request_id)
    await town.wait_until_idle()
    assert len(await mine(town, kim)) == 1


async def test_nothing_says_confirmed_before_the_payment_is_approved(town: Town, kim: Caller) -> None:
    reservation = await town.done(reserve(await product(town), kim))
    await town.wait_until_idle()

    (confirmed,) = [
        body
        for body in town.said("preorder.reservations.reservation_confirmed")
        if body["reservation_id"] == reservation["reservation_id"]
    ]

    assert confirmed["paid_at"] <= confirmed["modified_at"]
    assert await told_of(town, reservation) == ["reservation_started", "reservation_confirmed"]


async def test_a_declined_payment_is_kept_with_its_reason_and_frees_the_place(
    town: Town, kim: Caller, lee: Caller
) -> None:
    product_id = await product(town, quota=1)

    refusal = await town.refused(reserve(product_id, kim, "tok_declined"))
    reservation = await town.done(reserve(product_id, lee))

    assert (refusal["code"], refusal["reason"]) == ("payment_declined", "insufficient_funds")
    assert reservation["status"] == "CONFIRMED"
    seen = await shown(town, refusal, status="REJECTED", payment={"status": "DECLINED"})
    assert (seen["reason"], seen["receipt"], seen["refund"]) == ("insufficient_funds", None, None)
    assert await told_of(town, refusal) == ["reservation_started", "reservation_rejected"]
    assert (await reservation_of(town, refusal))["status"] == "REJECTED"


async def test_a_closed_product_cannot_be_reserved_until_it_is_open_again(town: Town, kim: Caller) -> None:
    product_id = await product(town)
    await changed(town, product_id, status=ProductStatus.CLOSED)

    refusal = await town.refused(reserve(product_id, kim))
    await changed(town, product_id, status=ProductStatus.OPEN)

    assert refusal == {"code": "closed"}
    assert (await town.done(reserve(product_id, kim)))["status"] == "CONFIRMED"


async def test_closed_comes_before_already_reserved_and_that_before_quota_full(town: Town, kim: Caller) -> None:
    product_id = await product(town, quota=1)
    await town.done(reserve(product_id, kim))

    mine_again = await town.refused(reserve(product_id, kim))
    another = await town.refused(reserve(product_id))
    await changed(town, product_id, status=ProductStatus.CLOSED)
    closed = await town.refused(reserve(product_id, kim))

    assert [one["code"] for one in (mine_again, another, closed)] == ["already_reserved", "quota_full", "closed"]


async def test_a_closed_products_reservation_can_still_be_cancelled(town: Town, kim: Caller) -> None:
    product_id = await product(town)
    reservation = await town.done(reserve(product_id, kim))
    await changed(town, product_id, status=ProductStatus.CLOSED)

    await town.done(cancel(reservation, kim))

    assert (await cancelled(town, reservation))["refund"]["status"] == "REFUNDED"


async def test_a_product_that_does_not_exist_is_not_found(town: Town) -> None:
    assert await town.refused(reserve(uuid4())) == {"code": "not_found"}


async def test_a_product_can_be_reserved_from_the_moment_it_is_registered(town: Town) -> None:
    for _ in range(3):
        made = await town.done(RegisterProduct(name="Dal 3", price=900_000, caller=STAFF))

        assert (await town.done(reserve(UUID(made["product_id"]))))["price"] == 900_000


async def test_a_later_price_does_not_touch_a_reservation(town: Town, kim: Caller) -> None:
    product_id = await product(town, price=1000)
    reservation = await town.done(reserve(product_id, kim))

    await changed(town, product_id, price=9000)

    assert (await town.done(reserve(product_id)))["price"] == 9000
    assert (await reservation_of(town, reservation))["price"] == 1000
    seen = await shown(town, reservation, product={"price": 9000})
    assert seen["price"] == 1000


# -- one active reservation per member and model


async def test_one_member_reserves_two_models(town: Town, kim: Caller) -> None:
    for _ in range(2):
        await town.done(reserve(await product(town), kim))

    await town.wait_until_idle()
    assert [item["status"] for item in await mine(town, kim)] == ["CONFIRMED"] * 2


async def test_a_member_who_reserves_ten_times_at_once_has_one_reservation(town: Town, kim: Caller) -> None:
    product_id = await product(town, quota=10)

    outcomes = await asyncio.gather(*(attempt(town, reserve(product_id, kim)) for _ in range(10)))

    assert sorted(code for code, _ in outcomes) == ["already_reserved"] * 9 + ["done"]
    assert await taken(town, product_id) == 1


async def test_who_was_declined_or_has_cancelled_may_reserve_again(town: Town, kim: Caller) -> None:
    product_id = await product(town, quota=1)
    await town.refused(reserve(product_id, kim, "tok_declined"))
    first = await town.done(reserve(product_id, kim))
    await town.done(cancel(first, kim))
    await cancelled(town, first)

    second = await town.done(reserve(product_id, kim))

    assert (second["status"], await taken(town, product_id)) == ("CONFIRMED", 1)
    await town.wait_until_idle()
    assert [item["status"] for item in await mine(town, kim)] == ["CONFIRMED", "CANCELLED", "REJECTED"]


# -- the quota


async def test_a_hundred_members_want_the_last_one_and_exactly_one_gets_it(town: Town) -> None:
    product_id = await product(town, quota=1)

    outcomes = await asyncio.gather(*(attempt(town, reserve(product_id)) for _ in range(100)))

    codes = [code for code, _ in outcomes]
    assert (codes.count("done"), codes.count("quota_full")) == (1, 99)
    assert await taken(town, product_id) == 1


async def test_a_place_that_a_declined_member_leaves_goes_to_another_and_never_to_two(town: Town) -> None:
    product_id = await product(town, quota=3)
    tokens = ["tok_declined", "tok_visa"] * 12

    outcomes = await asyncio.gather(*(attempt(town, reserve(product_id, token=token)) for token in tokens))
    await attempt(town, reserve(product_id))
    late = [await attempt(town, reserve(product_id)) for _ in range(3)]

    done = [body for code, body in [*outcomes, *late] if code == "done"]
    assert len(done) <= 3
    assert await taken(town, product_id) == 3


@pytest.mark.parametrize("quota", [0, 1])
async def test_a_quota_is_lowered_below_what_is_taken_and_nobody_gets_one_until_there_is_room(
    town: Town, quota: int
) -> None:
    product_id = await product(town, quota=3)
    held = [await town.done(reserve(product_id)) for _ in range(3)]

    await changed(town, product_id, quota=quota)

    for reservation in held[quota:]:
        assert (await town.refused(reserve(product_id)))["code"] == "quota_full"
        await town.done(cancel(reservation))
        await cancelled(town, reservation)
    assert (await town.refused(reserve(product_id)))["code"] == "quota_full"
    assert await taken(town, product_id) == quota
    await changed(town, product_id, quota=quota + 1)
    assert (await town.done(reserve(product_id)))["status"] == "CONFIRMED"


async def test_a_place_is_free_when_the_cancellation_is_through_and_not_before(
    town: Town, kim: Caller, lee: Caller
) -> None:
    product_id = await product(town, quota=1)
    reservation = await town.done(reserve(product_id, kim, "tok_refund_error"))
    await town.done(cancel(reservation, kim))

    full = await town.refused(reserve(product_id, lee))
    status = (await reservation_of(town, reservation))["status"]

    assert (full["code"], status) == ("quota_full", "CANCELLING")
    assert (await town.refused(reserve(product_id, kim)))["code"] == "already_reserved"
    assert id_of(await cancelled(town, reservation)) == id_of(reservation)
    assert (await town.done(reserve(product_id, lee)))["status"] == "CONFIRMED"


async def test_what_is_left_of_a_quota_is_told(town: Town, kim: Caller) -> None:
    limited, unlimited = await product(town, quota=2), await product(town)

    await town.done(reserve(limited, kim))

    assert await left(town, limited, unlimited) == {str(limited): 1}
    await changed(town, limited, quota=0)
    assert await left(town, limited) == {str(limited): 0}
    await changed(town, limited, quota=5, status=ProductStatus.CLOSED)
    assert await left(town, limited) == {str(limited): 0}


async def left(town: Town, *product_ids: UUID) -> dict[str, int]:
    counts = (await town.done(CountFree(product_ids=list(product_ids))))["counts"]
    return {count["product_id"]: count["free"] for count in counts}
