"""Words for the stories of video rental: what one does, and what one looks at."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4, uuid5

import aio_pika

from contracts.base import Caller, Message
from contracts.video_rental.my_page import ListMyPage, ShowMyPage
from contracts.video_rental.rentals import (
    CancelBooking,
    PayLateFee,
    PickUpVideo,
    ReturnVideo,
    ShowRental,
    ShowShelf,
)
from tests.support.messages import as_message
from tests.support.system import STAFF, System, card, eventually
from workers.runtime.messaging import envelope

Thing = dict[str, Any]

RENTALS, MY_PAGE, VIDEOS = "video_rental.rentals", "video_rental.my_page", "video_rental.videos"


# -- doing


def cancel(rental: Thing, caller: Caller = STAFF, reason: str | None = None) -> CancelBooking:
    return CancelBooking(rental_id=rental["rental_id"], caller=caller, reason=reason)


def pick_up(rental: Thing, caller: Caller = STAFF) -> PickUpVideo:
    return PickUpVideo(rental_id=rental["rental_id"], caller=caller)


def give_back(rental: Thing, caller: Caller = STAFF) -> ReturnVideo:
    return ReturnVideo(rental_id=rental["rental_id"], caller=caller)


def pay_late_fee(rental: Thing, caller: Caller = STAFF, token: str = "tok_visa") -> PayLateFee:
    return PayLateFee(rental_id=rental["rental_id"], payment=card(token), caller=caller)


async def rented(system: System, member: Caller, video_id: UUID, days: int = 1) -> Thing:
    """Booked and picked up."""
    rental = await system.done(system.booking(video_id, member, days=days))
    return await system.done(pick_up(rental, member))


async def returned_late(system: System, member: Caller, video_id: UUID, days_late: float) -> Thing:
    """Booked, picked up, and brought back after the due date."""
    rental = await rented(system, member, video_id)
    await make_due(system, rental, days_ago=days_late)
    return await system.done(give_back(rental, member))


async def make_due(system: System, rental: Thing, days_ago: float) -> None:
    """Turn the clock of one rental."""
    await system.rows(
        RENTALS,
        "update video_rental_rentals.rentals set due_at = now() - $2 * interval '1 day' where rental_id = $1",
        UUID(rental["rental_id"]),
        days_ago,
    )


async def attempt(system: System, message: Message, *, id: UUID) -> tuple[str, Thing]:
    """Ask until there is an outcome: its code (`done` or a refusal's) and its body."""
    reply = await system.until_done(message, id=id)
    body: Thing = json.loads(reply.body)
    return (str(body["code"]) if reply.kind == "refused" else reply.kind), body


async def tell(system: System, *events: Message, id: UUID | None = None) -> None:
    """Publish events by hand, in this order, as if their context had."""
    connection = await aio_pika.connect(system.settings.amqp_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange("yeyak.events", ensure=False)
        for event in events:
            body = event.model_dump_json().encode()
            message_id = id or uuid4()
            message = envelope.told(message_id, body, event.topic, event.owner(), message_id, None, "test")
            await exchange.publish(as_message(message), routing_key=event.topic)


# -- looking


async def rental_of(system: System, rental_id: object) -> Thing:
    """A rental as its writer sees it."""
    return await system.done(ShowRental(rental_id=UUID(str(rental_id)), caller=STAFF))


async def free_copies(system: System, video_id: UUID) -> int:
    shelf = await system.done(ShowShelf(video_id=video_id))
    available: int = shelf["available"]
    return available


async def page_of(system: System, member: Caller) -> list[Thing]:
    """What a member sees on My Page."""
    page = await system.done(ListMyPage(member_id=member.member_id))
    items: list[Thing] = page["items"]
    return items


async def entry(system: System, rental_id: object, min_version: int = 0, caller: Caller = STAFF) -> Thing:
    """One rental on My Page, with its timeline."""
    return await system.done(ShowMyPage(rental_id=UUID(str(rental_id)), min_version=min_version, caller=caller))


def agrees(thing: Any, expected: Thing) -> bool:
    """Whether a thing has these fields; nested ones, too."""
    return thing is not None and all(
        agrees(thing.get(name), value) if isinstance(value, dict) else thing.get(name) == value
        for name, value in expected.items()
    )


async def shown(system: System, rental_id: object, within: float = 10.0, **expected: Any) -> Thing:
    """One rental on My Page, once it has these fields."""
    found: Thing = {}

    async def agreed() -> bool:
        found.clear()
        found.update(await entry(system, rental_id))
        return agrees(found, expected)

    try:
        await eventually(agreed, within)
    except AssertionError:
        raise AssertionError(f"My Page has {found}, not {expected}") from None
    return found


async def told_of(system: System, rental: Thing | UUID) -> list[str]:
    """The names of the events of one rental, in the order of its versions, once all are told."""
    await system.all_told("video_rental.rentals")
    rental_id = str(rental["rental_id"] if isinstance(rental, dict) else rental)
    news = {body["version"]: topic for topic, body in system.news if body.get("rental_id") == rental_id}
    return [news[version].rpartition(".")[2] for version in sorted(news)]


# -- the provider's books


async def kept_of(system: System, payment_id: object) -> int:
    """What the provider keeps of a payment, in won."""
    rows = await system.rows(
        "provider",
        "select captured - voided - refunded as net from provider.charges where key = $1",
        UUID(str(payment_id)),
    )
    return sum(row["net"] for row in rows)


async def kept(system: System, rental: Thing | UUID) -> int:
    """What the provider keeps of the booking's payment, in won."""
    rental_id = UUID(str(rental["rental_id"])) if isinstance(rental, dict) else rental
    return await kept_of(system, uuid5(rental_id, "payment"))


async def discrepancies(system: System) -> list[str]:
    """Whatever does not fit in a quiet system: copies, money, and My Page against rentals."""
    await system.wait_until_idle()
    lists = await asyncio.gather(_copies(system), _money(system), _views(system))
    return [wrong for wrongs in lists for wrong in wrongs]


async def _copies(system: System) -> list[str]:
    rows = await system.rows(
        RENTALS,
        """select video_id, held, (select count(*) from video_rental_rentals.rentals r where r.video_id = h.video_id
             and status in ('AWAITING_PAYMENT', 'BOOKED', 'RENTED')) as out
           from video_rental_rentals.holds h""",
    )
    return [f"{row['video_id']}: {row['held']} held, {row['out']} out" for row in rows if row["held"] != row["out"]]


async def _money(system: System) -> list[str]:
    """Nothing is kept beyond what bookings and late fees cost; a payment without a rental keeps nothing."""
    rows = await system.rows(
        RENTALS,
        """select payment_id, price - refunded as owed, status in ('BOOKED', 'RENTED', 'RETURNED') as stands
           from video_rental_rentals.rentals
           union all select late_fee_payment_id, late_fee, late_fee_status = 'PAID'
           from video_rental_rentals.rentals where late_fee_payment_id is not null""",
    )
    owed = {row["payment_id"]: row["owed"] if row["stands"] else 0 for row in rows}
    charges = await system.rows("provider", "select key, captured - voided - refunded as net from provider.charges")
    kept = {row["key"]: row["net"] for row in charges}
    return [
        f"payment {id}: the provider keeps {kept.get(id, 0)}, {owed.get(id, 0)} is owed"
        for id in owed | kept
        if kept.get(id, 0) != owed.get(id, 0)
    ]


async def _views(system: System) -> list[str]:
    written = await system.rows(RENTALS, "select rental_id, version, status from video_rental_rentals.rentals")
    shown = await system.rows(
        MY_PAGE,
        "select rental_id, version, status from video_rental_my_page.rentals where generation ="
        " (select current from video_rental_my_page.generations)",
    )
    mine, theirs = ({row["rental_id"]: (row["version"], row["status"]) for row in rows} for rows in (written, shown))
    return [f"{id}: rentals has {mine[id]}, My Page {theirs.get(id)}" for id in mine if mine[id] != theirs.get(id)]
