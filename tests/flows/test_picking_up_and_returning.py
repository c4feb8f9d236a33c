"""Picking up and returning a video, and late fees."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from contracts.base import Caller
from contracts.video_rental.my_page import ListMyPage
from contracts.video_rental.rentals import ListRentals, ListShelf, ShowShelf, WaiveLateFee
from tests.flows.helpers import (
    cancel,
    free_copies,
    pay_late_fee,
    pick_up,
    rental_events,
    rental_of,
    rented,
    return_video,
    returned_late,
    set_due_date,
    wait_for_view,
)
from tests.support.payments import net_charge
from tests.support.system import STAFF, Json, System
from workers.video_rental.rentals import rules


def waive(rental: Json, caller: Caller = STAFF) -> WaiveLateFee:
    return WaiveLateFee(rental_id=rental["rental_id"], reason="it was snowing", caller=caller)


async def test_a_picked_up_video_is_due_at_midnight_in_seoul_and_goes_back_to_the_shelf(
    system: System, kim: Caller
) -> None:
    video_id = await system.video(copies=1)
    rental = await rented(system, kim, video_id, days=2)
    out = await free_copies(system, video_id)

    returned = await system.done(return_video(rental, kim))

    due_at, picked_up_at = (datetime.fromisoformat(rental[name]) for name in ("due_at", "picked_up_at"))
    assert due_at == rules.due_at(picked_up_at, 2)
    assert (due_at.astimezone(rules.SEOUL).hour, due_at > datetime.now(UTC) + timedelta(days=2)) == (0, True)
    assert (rental["status"], out) == ("RENTED", 0)
    assert (returned["status"], returned["late_fee"], returned["late_fee_status"]) == ("RETURNED", 0, "NONE")
    assert await free_copies(system, video_id) == 1
    await wait_for_view(system, rental, status="RETURNED")
    assert (await rental_events(system, rental))[-2:] == ["video_rented", "video_returned"]


async def test_a_video_shows_how_many_copies_are_free_booked_and_rented(
    system: System, kim: Caller, lee: Caller
) -> None:
    video_id = await system.video(copies=4)
    rental = await rented(system, kim, video_id)
    await system.done(system.booking(video_id, lee))
    out = await system.done(ShowShelf(video_id=video_id))

    await system.done(return_video(rental, kim))

    shelf = await system.items(ListShelf(limit=1))
    assert [out[name] for name in ("available", "booked", "rented")] == [2, 1, 1]
    assert [shelf[0][name] for name in ("video_id", "available", "booked", "rented")] == [str(video_id), 3, 1, 0]


async def test_rentals_are_listed_by_video(system: System, kim: Caller, lee: Caller) -> None:
    video_id, other_id = await system.video(copies=2), await system.video()
    mine = await system.done(system.booking(video_id, kim))
    of_lee = await system.done(system.booking(video_id, lee))
    await system.done(system.booking(other_id, kim))
    await system.wait_until_idle()

    for query in (ListRentals, ListMyPage):
        of_video = await system.items(query(video_id=video_id))
        of_kim = await system.items(query(video_id=video_id, member_id=kim.member_id))

        assert [item["rental_id"] for item in of_video] == [of_lee["rental_id"], mine["rental_id"]]
        assert [item["rental_id"] for item in of_kim] == [mine["rental_id"]]


async def test_picking_up_and_returning_again_changes_nothing(system: System, kim: Caller) -> None:
    rental = await rented(system, kim, await system.video())
    again = await system.done(pick_up(rental, kim))
    returned = await system.done(return_video(rental, kim))
    returned_again = await system.done(return_video(rental, kim))

    assert again == rental
    assert returned_again == returned


async def test_what_is_not_rented_cannot_be_returned(system: System, kim: Caller) -> None:
    booked = await system.done(system.booking(await system.video(), kim))
    cancelled = await system.done(cancel(await system.done(system.booking(await system.video(), kim)), kim))

    refusals = [await system.refused(return_video(rental, kim)) for rental in (booked, cancelled)]

    assert [(refusal["code"], refusal["current_status"]) for refusal in refusals] == [
        ("wrong_state", "BOOKED"),
        ("wrong_state", "CANCELLED"),
    ]


async def test_what_is_cancelled_or_returned_cannot_be_picked_up(system: System, kim: Caller) -> None:
    cancelled = await system.done(cancel(await system.done(system.booking(await system.video(), kim)), kim))
    returned = await system.done(return_video(await rented(system, kim, await system.video()), kim))

    refusals = [await system.refused(pick_up(rental, kim)) for rental in (cancelled, returned)]

    assert [refusal["current_status"] for refusal in refusals] == ["CANCELLED", "RETURNED"]


async def test_ten_returns_at_once_free_one_copy(system: System, kim: Caller, lee: Caller) -> None:
    video_id = await system.video(copies=2)
    rental = await rented(system, kim, video_id)
    await rented(system, lee, video_id)

    await asyncio.gather(*(system.done(return_video(rental, kim)) for _ in range(10)))

    assert await free_copies(system, video_id) == 1


@pytest.mark.parametrize(("days_late", "fee"), [(0.5, 1000), (2.5, 3000), (30, 10_000)])
async def test_a_late_video_costs_a_days_price_for_each_day_begun_and_ten_at_most(
    system: System, kim: Caller, days_late: float, fee: int
) -> None:
    returned = await returned_late(system, kim, await system.video(daily_price=1000), days_late)

    assert (returned["late_fee"], returned["late_fee_status"]) == (fee, "OWED")
    await wait_for_view(system, returned, status="RETURNED", late_fee=fee, late_fee_status="OWED")


async def test_who_owes_a_late_fee_cannot_book_until_it_is_paid(system: System, kim: Caller) -> None:
    video_id = await system.video()
    returned = await returned_late(system, kim, video_id, 1.5)

    refusal = await system.refused(system.booking(video_id, kim))
    paid = await system.done(pay_late_fee(returned, kim))
    rental = await system.done(system.booking(video_id, kim))

    assert refusal["code"] == "late_fee_owed"
    assert paid["late_fee_status"] == "PAID"
    assert await net_charge(system, paid["late_fee_payment_id"]) == 2000
    assert rental["status"] == "BOOKED"
    await wait_for_view(system, returned, late_fee_status="PAID", payment={"status": "APPROVED", "amount": 1000})
    assert (await rental_events(system, returned))[-2:] == ["late_fee_paying", "late_fee_paid"]


async def test_a_late_fee_comes_before_the_other_reasons_not_to_book(system: System, kim: Caller) -> None:
    late, sold_out = await system.video(), await system.video(copies=0)
    await returned_late(system, kim, late, 1)

    assert (await system.refused(system.booking(sold_out, kim)))["code"] == "late_fee_owed"


async def test_a_waived_late_fee_is_not_owed(system: System, kim: Caller) -> None:
    video_id = await system.video()
    returned = await returned_late(system, kim, video_id, 1)

    waived = await system.done(waive(returned))
    again = await system.done(waive(returned))
    refusal = await system.refused(pay_late_fee(returned, kim))

    assert (waived["late_fee_status"], again) == ("WAIVED", waived)
    assert (refusal["code"], refusal["late_fee_status"]) == ("wrong_state", "WAIVED")
    assert (await system.done(system.booking(video_id, kim)))["status"] == "BOOKED"
    await wait_for_view(system, returned, late_fee_status="WAIVED", reason="it was snowing")


async def test_a_late_fee_that_the_card_declines_is_still_owed(system: System, kim: Caller) -> None:
    returned = await returned_late(system, kim, await system.video(), 1)

    refusal = await system.refused(pay_late_fee(returned, kim, "tok_declined"))
    paid = await system.done(pay_late_fee(returned, kim))

    assert (refusal["code"], refusal["reason"]) == ("payment_declined", "insufficient_funds")
    assert refusal["late_fee_status"] == "OWED"
    assert paid["late_fee_status"] == "PAID"


@pytest.mark.parametrize("token", ["tok_slow", "tok_error"])
async def test_a_late_fee_without_an_answer_of_the_provider_is_still_owed(
    system: System, kim: Caller, token: str
) -> None:
    returned = await returned_late(system, kim, await system.video(), 1)

    refusal = await system.refused(pay_late_fee(returned, kim, token))
    owed = await rental_of(system, returned)
    paid = await system.done(pay_late_fee(returned, kim))

    assert (refusal["code"], owed["late_fee_status"]) == ("payment_unavailable", "OWED")
    assert paid["late_fee_payment_id"] != owed["late_fee_payment_id"]


async def test_while_a_late_fee_is_being_paid_it_can_neither_be_paid_nor_waived_nor_ignored(
    system: System, kim: Caller
) -> None:
    video_id = await system.video()
    returned = await returned_late(system, kim, video_id, 1)
    paying = asyncio.create_task(system.refused(pay_late_fee(returned, kim, "tok_slow")))
    await wait_for_view(system, returned, late_fee_status="PAYING")

    refusals = [
        await system.refused(message)
        for message in (pay_late_fee(returned, kim), waive(returned), system.booking(video_id, kim))
    ]

    assert [refusal["code"] for refusal in refusals] == ["wrong_state", "wrong_state", "late_fee_owed"]
    assert [refusal.get("late_fee_status") for refusal in refusals] == ["PAYING", "PAYING", None]
    await paying


async def test_ten_payments_of_one_late_fee_at_once_charge_once(system: System, kim: Caller) -> None:
    returned = await returned_late(system, kim, await system.video(), 1)

    outcomes = await system.outcomes(pay_late_fee(returned, kim) for _ in range(10))

    assert {code for code, _ in outcomes} <= {"done", "wrong_state"}
    rows = await system.rows("payments", "select 1 from payments.payments where payer = $1", kim.member_id)
    assert len(rows) == 2


async def test_a_late_fee_that_is_not_owed_can_neither_be_paid_nor_waived(system: System, kim: Caller) -> None:
    rental = await rented(system, kim, await system.video())

    refusals = [await system.refused(message) for message in (pay_late_fee(rental, kim), waive(rental))]

    assert [(refusal["code"], refusal["late_fee_status"]) for refusal in refusals] == [("wrong_state", "NONE")] * 2


async def test_a_rental_on_time_is_free_of_a_late_fee_to_the_last_second(system: System, kim: Caller) -> None:
    rental = await rented(system, kim, await system.video())
    await set_due_date(system, rental, days_ago=-1 / 1440)

    assert (await system.done(return_video(rental, kim)))["late_fee"] == 0
