"""Words for the stories of phone pre-order: what one does, and what one looks at."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4, uuid5

import aio_pika

from contracts.base import Caller, Message
from contracts.preorder.my_reservations import ListMyReservations, ShowMyReservation
from contracts.preorder.products import RegisterProduct
from contracts.preorder.receipts import ListReceipts
from contracts.preorder.reservations import (
    CancelReservation,
    ReservationStatus,
    ReservePhone,
    ShowReservation,
)
from tests.support.messages import as_message
from tests.support.system import STAFF, System, card, customer, eventually
from workers.runtime.messaging import envelope

Thing = dict[str, Any]

PRODUCTS, RESERVATIONS, RECEIPTS, MINE = (
    f"preorder.{name}" for name in ("products", "reservations", "receipts", "my_reservations")
)
CONTEXTS = ("payments", PRODUCTS, RESERVATIONS, RECEIPTS, MINE)
ADDRESS = "서울시 중구 세종대로 110, 별빛아파트 7동"
PRICE = 1_250_000


# -- doing


async def product(system: System, *, quota: int | None = None, price: int = PRICE, name: str = "Haneul 9") -> UUID:
    """A model that reservations has heard of."""
    made = await system.done(RegisterProduct(name=name, price=price, quota=quota, caller=STAFF))
    product_id = UUID(made["product_id"])

    async def known() -> bool:
        query = "select 1 from preorder_reservations.quotas where product_id = $1"
        return bool(await system.rows(RESERVATIONS, query, product_id))

    if RESERVATIONS in system.contexts:
        await eventually(known)
    return product_id


def reserve(product_id: UUID, member: Caller | None = None, token: str = "tok_visa") -> ReservePhone:
    return ReservePhone(product_id=product_id, address=ADDRESS, payment=card(token), caller=member or customer())


def cancel(reservation: object, caller: Caller = STAFF, reason: str | None = None) -> CancelReservation:
    return CancelReservation(reservation_id=id_of(reservation), caller=caller, reason=reason)


def id_of(reservation: object) -> UUID:
    return UUID(str(reservation["reservation_id"] if isinstance(reservation, dict) else reservation))


async def attempt(system: System, message: Message, *, id: UUID | None = None) -> tuple[str, Thing]:
    """Ask until there is an outcome: its code (`done` or a refusal's) and its body."""
    reply = await system.until_done(message, id=id or uuid4())
    body: Thing = json.loads(reply.body)
    return (str(body["code"]) if reply.kind == "refused" else reply.kind), body


async def tell(system: System, *messages: Message, id: UUID | None = None) -> None:
    """Publish by hand, in this order, as if their context had."""
    connection = await aio_pika.connect(system.settings.amqp_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        for said in messages:
            exchange = await channel.get_exchange(said.exchange, ensure=False)
            body = said.model_dump_json().encode()
            message_id = id or uuid4()
            message = envelope.told(message_id, body, said.topic, said.owner(), message_id, None, "test")
            await exchange.publish(as_message(message), routing_key=said.topic)


# -- looking


async def reservation_of(system: System, reservation: object) -> Thing:
    """A reservation as its writer sees it."""
    return await system.done(ShowReservation(reservation_id=id_of(reservation), caller=STAFF))


async def receipts_of(system: System, member: Caller) -> list[Thing]:
    page = await system.done(ListReceipts(member_id=member.member_id))
    items: list[Thing] = page["items"]
    return items


async def mine(system: System, member: Caller, status: ReservationStatus | None = None) -> list[Thing]:
    """What a member sees of their reservations."""
    page = await system.done(ListMyReservations(member_id=member.member_id, status=status))
    items: list[Thing] = page["items"]
    return items


async def entry(system: System, reservation: object, min_version: int = 0, caller: Caller = STAFF) -> Thing:
    """One reservation with its timeline."""
    query = ShowMyReservation(reservation_id=id_of(reservation), min_version=min_version, caller=caller)
    return await system.done(query)


def agrees(thing: Any, expected: Thing) -> bool:
    """Whether a thing has these fields; nested ones, too."""
    return thing is not None and all(
        agrees(thing.get(name), value) if isinstance(value, dict) else thing.get(name) == value
        for name, value in expected.items()
    )


async def shown(system: System, reservation: object, within: float = 10.0, **expected: Any) -> Thing:
    """One of my reservations, once it has these fields."""
    found: Thing = {}

    async def agreed() -> bool:
        found.clear()
        found.update(await entry(system, reservation))
        return agrees(found, expected)

    try:
        await eventually(agreed, within)
    except AssertionError:
        raise AssertionError(f"my reservations has {found}, not {expected}") from None
    return found


async def cancelled(system: System, reservation: object) -> Thing:
    """A reservation as its writer sees it, once it is CANCELLED."""

    async def so() -> Thing | None:
        found = await reservation_of(system, reservation)
        return found if found["status"] == "CANCELLED" else None

    found: Thing = await eventually(so)
    return found


async def told_of(system: System, reservation: object) -> list[str]:
    """The names of the events of one reservation, in the order of its versions, once all are told."""
    await system.all_told(RESERVATIONS)
    of = str(id_of(reservation))
    news = {
        body["version"]: topic
        for topic, body in system.news
        if topic.startswith(RESERVATIONS) and body.get("reservation_id") == of
    }
    return [news[version].rpartition(".")[2] for version in sorted(news)]


async def taken(system: System, product_id: UUID) -> int:
    """How many of a model's quota are taken."""
    row = await system.one(
        RESERVATIONS, "select taken from preorder_reservations.quotas where product_id = $1", product_id
    )
    count: int = row["taken"]
    return count


async def charging(system: System, member: Caller, status: str = "REQUESTED") -> bool:
    """Whether a payment of the member stands so."""
    query = "select 1 from payments.payments where payer = $1 and status = $2"
    return bool(await system.rows("payments", query, member.member_id, status))


async def kept(system: System, reservation: object) -> int:
    """What the provider keeps of a reservation's payment, in won."""
    rows = await system.rows(
        "provider",
        "select captured - voided - refunded as net from provider.charges where key = $1",
        uuid5(id_of(reservation), "payment"),
    )
    return sum(row["net"] for row in rows)


# -- the books


async def discrepancies(system: System) -> list[str]:
    """Whatever does not fit in a quiet system: quotas, money, receipts, and the view against its writer."""
    await system.wait_until_idle()
    lists = await asyncio.gather(_quotas(system), _money(system), _receipts(system), _view(system))
    return [wrong for wrongs in lists for wrong in wrongs]


async def _rows(system: System) -> list[Any]:
    return await system.rows(RESERVATIONS, "select * from preorder_reservations.reservations")


async def _quotas(system: System) -> list[str]:
    rows = await system.rows(
        RESERVATIONS,
        """select product_id, taken, (select count(*) from preorder_reservations.reservations r
             where r.product_id = q.product_id and status in ('AWAITING_PAYMENT', 'CONFIRMED', 'CANCELLING')) as active
           from preorder_reservations.quotas q""",
    )
    return [f"{row['product_id']}: {row['taken']} taken, {row['active']} active" for row in rows if row[1] != row[2]]


async def _money(system: System) -> list[str]:
    """What the provider keeps is what confirmed reservations cost; a payment without one keeps nothing."""
    owed = {
        row["payment_id"]: row["price"] - row["refunded"] if row["status"] == "CONFIRMED" else 0
        for row in await _rows(system)
    }
    charges = await system.rows("provider", "select key, captured - voided - refunded as net from provider.charges")
    net = {row["key"]: row["net"] for row in charges}
    return [
        f"payment {id}: the provider keeps {net.get(id, 0)}, {owed.get(id, 0)} is owed"
        for id in owed | net
        if net.get(id, 0) != owed.get(id, 0)
    ]


async def _receipts(system: System) -> list[str]:
    """Each confirmed reservation has a live receipt, no other that is known has one."""
    rows = await system.rows(RECEIPTS, "select reservation_id from preorder_receipts.receipts where status = 'ISSUED'")
    known = {row["reservation_id"]: row["status"] for row in await _rows(system)}
    live = {row["reservation_id"] for row in rows} & known.keys()
    confirmed = {id for id, status in known.items() if status == "CONFIRMED"}
    return [f"{id}: live receipt {id in live}, confirmed {id in confirmed}" for id in live ^ confirmed]


async def _view(system: System) -> list[str]:
    shown_rows = await system.rows(
        MINE,
        "select reservation_id, version, status from preorder_my_reservations.reservations where generation ="
        " (select current from preorder_my_reservations.generations)",
    )
    written = {row["reservation_id"]: (row["version"], row["status"]) for row in await _rows(system)}
    seen = {row["reservation_id"]: (row["version"], row["status"]) for row in shown_rows}
    left = [row for row in await _rows(system) if row["status"] in ("AWAITING_PAYMENT", "CANCELLING")]
    wrong = [f"{id}: reservations has {written[id]}, the view {seen.get(id)}" for id in written]
    return [line for line, id in zip(wrong, written, strict=True) if written[id] != seen.get(id)] + [
        f"{row['reservation_id']} was left {row['status']}" for row in left
    ]
