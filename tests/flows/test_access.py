"""Access: for a customer, the rentals and payments of others do not exist."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from contracts.base import Caller, Message
from contracts.payments import ShowPayment, ShowRefund
from contracts.video_rental.my_page import ShowMyPage
from contracts.video_rental.rentals import ShowRental, WaiveLateFee
from tests.flows.helpers import (
    cancel,
    page_of,
    pay_late_fee,
    pick_up,
    rental_of,
    return_video,
    view_of,
    wait_for_view,
)
from tests.support.system import STAFF, Json, System

MakeMessage = Callable[[Json, Caller], Message]

MESSAGES: dict[str, MakeMessage] = {
    "cancel": cancel,
    "pick up": pick_up,
    "return": return_video,
    "pay the late fee of": pay_late_fee,
    "waive the late fee of": lambda rental, caller: WaiveLateFee(
        rental_id=rental["rental_id"], reason="please", caller=caller
    ),
    "show": lambda rental, caller: ShowRental(rental_id=rental["rental_id"], caller=caller),
    "see on My Page": lambda rental, caller: ShowMyPage(rental_id=rental["rental_id"], caller=caller),
    "see the payment of": lambda rental, caller: ShowPayment(payment_id=rental["payment_id"], caller=caller),
}


@pytest.mark.parametrize("make", MESSAGES.values(), ids=MESSAGES)
async def test_another_customers_rental_is_not_found(
    system: System, kim: Caller, lee: Caller, make: MakeMessage
) -> None:
    rental = await system.done(system.booking(await system.video(), kim))

    refusal = await system.refused(make(rental, lee))

    assert refusal == {"code": "not_found"}
    assert (await rental_of(system, rental))["version"] == rental["version"]


@pytest.mark.parametrize("make", MESSAGES.values(), ids=MESSAGES)
async def test_what_does_not_exist_is_refused_like_what_is_anothers(
    system: System, kim: Caller, make: MakeMessage
) -> None:
    unknown = {"rental_id": uuid4(), "payment_id": uuid4()}

    assert await system.refused(make(unknown, kim)) == {"code": "not_found"}


async def test_another_customers_refund_does_not_exist(system: System, kim: Caller, lee: Caller) -> None:
    rental = await system.done(system.booking(await system.video(), kim))
    cancelled = await system.done(cancel(rental, kim))
    await wait_for_view(system, rental, refund={"status": "REFUNDED"})
    refund_id = cancelled["refund"]["refund_id"]

    refusal = await system.refused(ShowRefund(refund_id=refund_id, caller=lee))
    mine = await system.done(ShowRefund(refund_id=refund_id, caller=kim))

    assert (refusal, mine["amount"]) == ({"code": "not_found"}, 1000)


async def test_staff_may_do_everything_for_a_member(system: System, kim: Caller) -> None:
    rental = await system.done(system.booking(await system.video(), kim))

    await system.done(pick_up(rental, STAFF))
    returned = await system.done(return_video(rental, STAFF))

    assert (returned["status"], returned["member_id"]) == ("RETURNED", kim.member_id)
    assert (await view_of(system, rental, min_version=4, caller=kim))["status"] == "RETURNED"


async def test_my_page_shows_a_members_own_rentals_only(system: System, kim: Caller, lee: Caller) -> None:
    mine = await system.done(system.booking(await system.video(), kim))
    await system.done(system.booking(await system.video(), lee))
    await system.wait_until_idle()

    assert [item["rental_id"] for item in await page_of(system, kim)] == [mine["rental_id"]]
