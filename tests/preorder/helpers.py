"""Phone pre-order in tests: its commands and queries, and what must hold in the end."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid5

from contracts.base import Caller
from contracts.preorder.my_reservations import ListMyReservations, ShowMyReservation
from contracts.preorder.products import RegisterProduct
from contracts.preorder.receipts import ListReceipts
from contracts.preorder.reservations import CancelReservation, ReservationStatus, ReservePhone, ShowReservation
from tests.support.payments import charge_discrepancies, net_charge
from tests.support.system import STAFF, Json, System, card, customer

PRODUCTS, RESERVATIONS, RECEIPTS, MY_RESERVATIONS = (
    f"preorder.{name}" for name in ("products", "reservations", "receipts", "my_reservations")
)
CONTEXTS = ("payments", PRODUCTS, RESERVATIONS, RECEIPTS, MY_RESERVATIONS)
ADDRESS = "서울시 중구 세종대로 110, 별빛아파트 7동"
PRICE = 1_250_000


# -- commands


def reserve(product_id: UUID, member: Caller | None = None, token: str = "tok_visa") -> ReservePhone:
    return ReservePhone(product_id=product_id, address=ADDRESS, payment=card(token), caller=member or customer())


def cancel(reservation: object, caller: Caller = STAFF, reason: str | None = None) -> CancelReservation:
    return CancelReservation(reservation_id=id_of(reservation), caller=caller, reason=reason)


def id_of(reservation: object) -> UUID:
    return UUID(str(reservation["reservation_id"] if isinstance(reservation, dict) else reservation))


# -- states


async def known_product(
    system: System, *, quota: int | None = None, price: int = PRICE, name: str = "Haneul 9"
) -> UUID:
    """Register a product, and wait until reservations knows it."""
    made = await system.done(RegisterProduct(name=name, price=price, quota=quota, caller=STAFF))
    product_id = UUID(made["product_id"])
    if RESERVATIONS in system.contexts:
        known = "select 1 from preorder_reservations.quotas where product_id = $1"
        await system.wait_for_rows(RESERVATIONS, known, product_id)
    return product_id


# -- queries


async def reservation_of(system: System, reservation: object) -> Json:
    return await system.done(ShowReservation(reservation_id=id_of(reservation), caller=STAFF))


async def wait_for_reservation(system: System, reservation: object, **expected: Any) -> Json:
    """A reservation as reservations has it, once it has these fields."""
    return await system.wait_for(ShowReservation(reservation_id=id_of(reservation), caller=STAFF), **expected)


async def wait_until_cancelled(system: System, reservation: object) -> Json:
    return await wait_for_reservation(system, reservation, status="CANCELLED")


async def receipts_of(system: System, member: Caller) -> list[Json]:
    return await system.items(ListReceipts(member_id=member.member_id))


async def my_reservations(system: System, member: Caller, status: ReservationStatus | None = None) -> list[Json]:
    """What a member sees of their reservations."""
    return await system.items(ListMyReservations(member_id=member.member_id, status=status))


async def view_of(system: System, reservation: object, min_version: int = 0, caller: Caller = STAFF) -> Json:
    """One reservation in the view, with its timeline."""
    query = ShowMyReservation(reservation_id=id_of(reservation), min_version=min_version, caller=caller)
    return await system.done(query)


async def wait_for_view(system: System, reservation: object, within: float = 10.0, **expected: Any) -> Json:
    """One reservation in the view, once it has these fields."""
    query = ShowMyReservation(reservation_id=id_of(reservation), caller=STAFF)
    return await system.wait_for(query, within, **expected)


async def reservation_events(system: System, reservation: object) -> list[str]:
    """The names of a reservation's events, in the order of its versions."""
    return await system.event_names(RESERVATIONS, reservation_id=id_of(reservation))


async def taken_quota(system: System, product_id: UUID) -> int:
    """How many phones of a product's quota are taken."""
    query = "select taken from preorder_reservations.quotas where product_id = $1"
    taken: int = (await system.one(RESERVATIONS, query, product_id))["taken"]
    return taken


async def net_reservation_charge(system: System, reservation: object) -> int:
    """What the provider keeps of a reservation's payment, in won."""
    return await net_charge(system, uuid5(id_of(reservation), "payment"))


# -- at the end


async def discrepancies(system: System) -> list[str]:
    """What contradicts itself in an idle system: quotas, money, receipts, and the view against reservations."""
    await system.wait_until_idle()
    lists = await asyncio.gather(_quotas(system), _money(system), _receipts(system), _view(system))
    return [line for lines in lists for line in lines]


async def _rows(system: System) -> list[Any]:
    return await system.rows(RESERVATIONS, "select * from preorder_reservations.reservations")


async def _quotas(system: System) -> list[str]:
    rows = await system.rows(
        RESERVATIONS,
        """select product_id, taken, (select count(*) from preorder_reservations.reservations r
             where r.product_id = q.product_id and status in ('AWAITING_PAYMENT', 'CONFIRMED', 'CANCELLING')) as active
           from preorder_reservations.quotas q""",
    )
    return [
        f"{row['product_id']}: {row['taken']} taken, {row['active']} active"
        for row in rows
        if row["taken"] != row["active"]
    ]


async def _money(system: System) -> list[str]:
    """What the provider keeps is what confirmed reservations cost; a payment without one keeps nothing."""
    owed = {
        row["payment_id"]: row["price"] - row["refunded"] if row["status"] == "CONFIRMED" else 0
        for row in await _rows(system)
    }
    return await charge_discrepancies(system, owed)


async def _receipts(system: System) -> list[str]:
    """Each confirmed reservation has an issued receipt, and no other reservation has one."""
    rows = await system.rows(RECEIPTS, "select reservation_id from preorder_receipts.receipts where status = 'ISSUED'")
    known = {row["reservation_id"]: row["status"] for row in await _rows(system)}
    issued = {row["reservation_id"] for row in rows} & known.keys()
    confirmed = {id for id, status in known.items() if status == "CONFIRMED"}
    return [f"{id}: issued receipt {id in issued}, confirmed {id in confirmed}" for id in issued ^ confirmed]


async def _view(system: System) -> list[str]:
    """The view has every reservation as reservations has it, and none is unfinished."""
    rows = await _rows(system)
    view = await system.rows(
        MY_RESERVATIONS,
        "select reservation_id, version, status from preorder_my_reservations.reservations where generation ="
        " (select current from preorder_my_reservations.generations)",
    )
    shown = {row["reservation_id"]: (row["version"], row["status"]) for row in view}
    lines = []
    for row in rows:
        id, status = row["reservation_id"], row["status"]
        if shown.get(id) != (row["version"], status):
            lines.append(f"{id}: reservations has {row['version']}, {status}, the view {shown.get(id)}")
        if status in ("AWAITING_PAYMENT", "CANCELLING"):
            lines.append(f"{id} was left {status}")
    return lines
