"""Video rental in tests: its commands, rentals in each state, and what must hold in the end."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid5

from contracts.base import Caller
from contracts.video_rental.my_page import ListMyPage, ShowMyPage
from contracts.video_rental.rentals import CancelBooking, PayLateFee, PickUpVideo, ReturnVideo, ShowRental, ShowShelf
from tests.support.payments import charge_discrepancies, net_charge
from tests.support.system import STAFF, Json, System, card

RENTALS, MY_PAGE, VIDEOS = "video_rental.rentals", "video_rental.my_page", "video_rental.videos"
CONTEXTS = ("payments", VIDEOS, RENTALS, MY_PAGE)


# -- commands


def cancel(rental: Json, caller: Caller = STAFF, reason: str | None = None) -> CancelBooking:
    return CancelBooking(rental_id=rental["rental_id"], caller=caller, reason=reason)


def pick_up(rental: Json, caller: Caller = STAFF) -> PickUpVideo:
    return PickUpVideo(rental_id=rental["rental_id"], caller=caller)


def return_video(rental: Json, caller: Caller = STAFF) -> ReturnVideo:
    return ReturnVideo(rental_id=rental["rental_id"], caller=caller)


def pay_late_fee(rental: Json, caller: Caller = STAFF, token: str = "tok_visa") -> PayLateFee:
    return PayLateFee(rental_id=rental["rental_id"], payment=card(token), caller=caller)


# -- states


async def rented(system: System, member: Caller, video_id: UUID, days: int = 1) -> Json:
    """Book a video and pick it up."""
    rental = await system.done(system.booking(video_id, member, days=days))
    return await system.done(pick_up(rental, member))


async def returned_late(system: System, member: Caller, video_id: UUID, days_late: float) -> Json:
    """Book a video, pick it up, and return it after its due date."""
    rental = await rented(system, member, video_id)
    await set_due_date(system, rental, days_ago=days_late)
    return await system.done(return_video(rental, member))


async def set_due_date(system: System, rental: Json, days_ago: float) -> None:
    """Move the due date of a rental to so many days ago."""
    await system.rows(
        RENTALS,
        "update video_rental_rentals.rentals set due_at = now() - $2 * interval '1 day' where rental_id = $1",
        UUID(rental["rental_id"]),
        days_ago,
    )


# -- queries


def id_of(rental: object) -> UUID:
    return UUID(str(rental["rental_id"] if isinstance(rental, dict) else rental))


async def rental_of(system: System, rental: object) -> Json:
    return await system.done(ShowRental(rental_id=id_of(rental), caller=STAFF))


async def wait_for_rental(system: System, rental: object, **expected: Any) -> Json:
    """A rental as rentals has it, once it has these fields."""
    return await system.wait_for(ShowRental(rental_id=id_of(rental), caller=STAFF), **expected)


async def free_copies(system: System, video_id: UUID) -> int:
    shelf = await system.done(ShowShelf(video_id=video_id))
    available: int = shelf["available"]
    return available


async def page_of(system: System, member: Caller) -> list[Json]:
    """What a member sees on My Page."""
    return await system.items(ListMyPage(member_id=member.member_id))


async def view_of(system: System, rental: object, min_version: int = 0, caller: Caller = STAFF) -> Json:
    """One rental on My Page, with its timeline."""
    return await system.done(ShowMyPage(rental_id=id_of(rental), min_version=min_version, caller=caller))


async def wait_for_view(system: System, rental: object, within: float = 10.0, **expected: Any) -> Json:
    """One rental on My Page, once it has these fields."""
    return await system.wait_for(ShowMyPage(rental_id=id_of(rental), caller=STAFF), within, **expected)


async def rental_events(system: System, rental: object) -> list[str]:
    """The names of a rental's events, in the order of its versions."""
    return await system.event_names(RENTALS, rental_id=id_of(rental))


async def net_booking_charge(system: System, rental: object) -> int:
    """What the provider keeps of a booking's payment, in won."""
    return await net_charge(system, uuid5(id_of(rental), "payment"))


# -- at the end


async def discrepancies(system: System) -> list[str]:
    """What contradicts itself in an idle system: copies, money, and My Page against rentals."""
    lists = await asyncio.gather(_copies(system), _money(system), _views(system))
    return [line for lines in lists for line in lines]


async def _copies(system: System) -> list[str]:
    rows = await system.rows(
        RENTALS,
        """select video_id, held, (select count(*) from video_rental_rentals.rentals r where r.video_id = h.video_id
             and status in ('AWAITING_PAYMENT', 'BOOKED', 'RENTED')) as active
           from video_rental_rentals.holds h""",
    )
    return [
        f"{row['video_id']}: {row['held']} held, {row['active']} active" for row in rows if row["held"] != row["active"]
    ]


async def _money(system: System) -> list[str]:
    """Nothing is kept beyond what bookings and late fees cost; a payment without a rental keeps nothing."""
    rows = await system.rows(
        RENTALS,
        """select payment_id, price - refunded as price, status in ('BOOKED', 'RENTED', 'RETURNED') as is_owed,
             false as is_late_fee
           from video_rental_rentals.rentals
           union all select late_fee_payment_id, late_fee, late_fee_status = 'PAID', true
           from video_rental_rentals.rentals where late_fee_payment_id is not null""",
    )
    by_hand = (
        "select payment_id, sum(amount) as given from payments.refunds where requested_by = $1 group by payment_id"
    )
    given = {row["payment_id"]: row["given"] for row in await system.rows("payments", by_hand, STAFF.member_id)}
    late_fees = {row["payment_id"] for row in rows if row["is_late_fee"]} & given.keys()
    owed = {row["payment_id"]: row["price"] if row["is_owed"] else 0 for row in rows}
    return await charge_discrepancies(system, owed | {id: owed[id] - given[id] for id in late_fees})


async def _views(system: System) -> list[str]:
    columns = "select rental_id, version, status from"
    current = "generation = (select current from video_rental_my_page.generations)"
    rows = await system.rows(RENTALS, f"{columns} video_rental_rentals.rentals")
    page = await system.rows(MY_PAGE, f"{columns} video_rental_my_page.rentals where {current}")
    rentals, shown = ({row["rental_id"]: (row["version"], row["status"]) for row in found} for found in (rows, page))
    return [
        f"{id}: rentals has {rentals[id]}, My Page {shown.get(id)}" for id in rentals if rentals[id] != shown.get(id)
    ]
