"""Phone pre-order: the checks of quotas, receipts and the answers to requests.

A confirmed reservation has an issued receipt, no other reservation has one. A quota's count equals its active
reservations.
"""
# ruff: noqa: S608 - statements are put together from constants of this package

from __future__ import annotations

from contracts.preorder.products import ProductChanged, ProductRegistered, ProductState, RegisterProduct
from contracts.preorder.receipts import ReceiptEvent
from contracts.preorder.reservations import ReservationEvent, ReservePhone
from ops.audit.invariant import (
    Publication,
    SystemChecks,
    TableComparison,
    columns_of,
    payments_for,
    topics_of,
    view_comparison,
)
from ops.audit.paid import UNDONE, PaidThing
from ops.audit.stores import Row, Stores
from storage.preorder import my_reservations as view

MINE = payments_for("preorder.reservations")
ACTIVE = "status in ('AWAITING_PAYMENT', 'CONFIRMED', 'CANCELLING')"
RESERVATION = PaidThing(
    "reservation",
    "preorder_reservations.reservations",
    "reservation_id",
    created_by=[ReservePhone],
    due="status = 'CONFIRMED'",
    in_use="status = 'CONFIRMED'",
    given_up="status in ('CANCELLING', 'CANCELLED') and paid_at is null",
    undecided=("AWAITING_PAYMENT", "CANCELLING"),
)


# -- I1


async def left_cancelling(stores: Stores) -> list[str]:
    """Find reservations that are CANCELLING although every compensation has finished."""
    rows = await stores.rows(f"""
        select reservation_id as id from <preorder_reservations.reservations> r
        left join <payments.payments> p using (payment_id) left join <payments.refunds> f on f.refund_id = r.refund_id
        left join <preorder_receipts.receipts> v using (reservation_id)
        where r.status = 'CANCELLING' and case when called_off then p.status in ({UNDONE})
          else f.status = 'REFUNDED' and v.status = 'VOIDED' end order by 1""")
    return [f"reservation {row['id']} is CANCELLING, and every compensation has finished" for row in rows]


# -- I3


async def quotas(stores: Stores) -> list[str]:
    """Check that each quota's count equals its active reservations, within the quota, one for each member."""
    uneven = await stores.rows(f"""
        with active as (
          select product_id, count(*) as active from <preorder_reservations.reservations> where {ACTIVE} group by 1)
        select coalesce(a.product_id, q.product_id) as id, coalesce(taken, 0) as taken, coalesce(active, 0) as active
        from active a full join <preorder_reservations.quotas> q on q.product_id = a.product_id
        where coalesce(taken, 0) <> coalesce(active, 0) or taken < 0 order by 1""")
    twice = await stores.rows(f"""
        select member_id, product_id, count(*) from <preorder_reservations.reservations> where {ACTIVE}
        group by member_id, product_id having count(*) > 1 order by member_id, product_id""")
    found = [f"product {row['id']}: {row['taken']} are taken, {row['active']} are active" for row in uneven]
    found += [
        f"member {row['member_id']} has {row['count']} active reservations of product {row['product_id']}"
        for row in twice
    ]
    return found + await _more_than_there_ever_were(stores)


async def _more_than_there_ever_were(stores: Stores) -> list[str]:
    """Check the limit of each quota; it may have been lowered later, so the journal's largest value counts."""
    over = await stores.rows(f"""
        select product_id, quota, count(*) as active from <preorder_reservations.products>
        join (select product_id from <preorder_reservations.reservations> where {ACTIVE}) r using (product_id)
        where quota is not null group by product_id, quota having count(*) > quota order by product_id""")
    found = []
    for row in over:
        rows = await stores.rows(
            """select max((body::json ->> 'quota')::int) as quota, bool_or(body::json ->> 'quota' is null) as unlimited
            from <journal.events> where things @> array[$1::uuid] and topic = any($2::text[])""",
            row["product_id"],
            [ProductRegistered.topic, ProductChanged.topic],
        )
        most = max(row["quota"], rows[0]["quota"] or 0)
        if row["active"] > most and not rows[0]["unlimited"]:
            found.append(f"product {row['product_id']}: {row['active']} are active, of {most} at most")
    return found


# -- I5


async def receipts_received(stores: Stores) -> list[str]:
    """Check that messages to receipts arrived, by the rows that they cause there."""
    return [] if "preorder.receipts" in stores.without else await _receipts(stores)


async def _receipts(stores: Stores) -> list[str]:
    rows = await stores.rows("""
        select reservation_id as id, r.status, v.status as receipt from <preorder_reservations.reservations> r
        full join <preorder_receipts.receipts> v using (reservation_id)
        where (r.status = 'CONFIRMED' and v.status is distinct from 'ISSUED')
          or (r.status is distinct from 'CONFIRMED' and v.status = 'ISSUED') order by 1""")
    return [
        f"reservation {row['id']} is {row['status'] or 'not there'}, and its receipt is {row['receipt'] or 'not there'}"
        for row in rows
    ]


# -- I8


async def receipts_equal(stores: Stores) -> list[str]:
    """Check that reservations agrees with receipts, and receipts with the payments."""
    found = [
        f"reservation {row['id']} has its receipt as {row['recorded']}, and it is {row['status']}"
        for row in await stores.rows("""
            select reservation_id as id, coalesce(r.receipt_status, 'not there') as recorded, v.status
            from <preorder_reservations.reservations> r join <preorder_receipts.receipts> v using (reservation_id)
            where (r.receipt_id, r.receipt_status, r.receipt_issued_at, r.expected_delivery)
              is distinct from (v.receipt_id, v.status, v.issued_at, v.expected_delivery) order by 1""")
    ]
    return found + [
        f"the receipt of reservation {row['id']} does not match its payment"
        for row in await stores.rows("""
            select reservation_id as id from <preorder_reservations.reservations> r
            join <preorder_receipts.receipts> v using (reservation_id)
            where (v.amount, v.member_id) is distinct from (r.price, r.member_id)
              or (v.issued_at is not null and (v.issued_at is distinct from r.paid_at
                or v.expected_delivery is distinct from (r.paid_at at time zone 'Asia/Seoul')::date + 21))
            order by 1""")
    ]


# -- I9

ANSWERED = """
    select i.id, i.refused, r.reservation_id, r.status,
      case when i.refused then i.answer::json ->> 'code' end as code,
      strpos(i.answer, i.id::text) > 0 as names_it
    from <preorder_reservations.inbox> i left join <preorder_reservations.reservations> r on r.reservation_id = i.id
    where i.topic = $1 and i.state = 'done' and i.answer is not null
      and (i.refused or r.reservation_id is null or r.paid_at is null or strpos(i.answer, i.id::text) = 0)
    order by i.id"""
ENDS = {
    "payment_declined": ("REJECTED",),
    "payment_unavailable": ("CANCELLED",),
    "cancelled": ("CANCELLING", "CANCELLED"),
}
"""The refusals that keep the reservation, and the statuses that it may have then."""


async def answers(stores: Stores) -> list[str]:
    """Check that each kept answer agrees with its row."""
    rows = await stores.rows(ANSWERED, ReservePhone.topic)
    found = [sentence for row in rows if (sentence := _wrong_answer(row)) is not None]
    return found + [
        f"product {row['id']} was answered for, and is not there"
        for row in await stores.rows(
            """select id from <preorder_products.inbox> i
            where topic = $1 and state = 'done' and not refused and answer is not null
              and not exists (select from <preorder_products.products> p where p.product_id = i.id) order by id""",
            RegisterProduct.topic,
        )
    ]


def _wrong_answer(row: Row) -> str | None:
    """Describe what is wrong with the answer to a reservation request; None when it agrees with its row."""
    request = f"reservation request {row['id']}"
    if not row["refused"]:
        if row["reservation_id"] is None:
            return f"{request} was answered with a reservation that is not there"
        return f"{request} was answered with {'one that was never paid' if row['names_it'] else 'another reservation'}"
    if row["status"] not in ENDS.get(row["code"], (None,)):
        return f"{request} was refused ({row['code']}), and its reservation is {row['status'] or 'not there'}"
    return None


CHECKS = SystemChecks(
    tables={
        "preorder_products": ("products", "inbox"),
        "preorder_reservations": ("reservations", "quotas", "products", "inbox"),
        "preorder_receipts": ("receipts", "inbox"),
        "preorder_my_reservations": (
            "generations",
            "reservations",
            "products",
            "payments",
            "refunds",
            "receipts",
            "timeline",
        ),
    },
    writers={
        "preorder.products": "preorder_products",
        "preorder.reservations": "preorder_reservations",
        "preorder.receipts": "preorder_receipts",
    },
    views=[view.tables],
    comparisons=[
        TableComparison(
            "product",
            "product_id",
            "preorder_products.products",
            "preorder_reservations.products",
            columns_of(ProductState, "product_id"),
        ),
        view_comparison(view.tables, view.products, "product_id", "preorder_products.products"),
        view_comparison(view.tables, view.reservations, "reservation_id", "preorder_reservations.reservations"),
        view_comparison(view.tables, view.receipts, "receipt_id", "preorder_receipts.receipts"),
        view_comparison(
            view.tables, view.payments, "payment_id", "payments.payments", published="version > 0", mine=MINE
        ),
        view_comparison(view.tables, view.refunds, "refund_id", "payments.refunds", mine=MINE),
    ],
    publications=[
        Publication(
            "preorder product",
            "preorder_products.products",
            "product_id",
            [ProductRegistered.topic, ProductChanged.topic],
        ),
        Publication(
            "preorder reservation",
            "preorder_reservations.reservations",
            "reservation_id",
            topics_of(ReservationEvent),
        ),
        Publication("receipt", "preorder_receipts.receipts", "receipt_id", topics_of(ReceiptEvent)),
    ],
    unfinished=[RESERVATION.unfinished],
    claims=[RESERVATION.claim],
    claim_kinds={"preorder.reservations": "'reservation'"},
    fully_refunded=["reservation"],
    checks={
        "I1": [left_cancelling],
        "I3": [quotas],
        "I5": [RESERVATION.not_received, receipts_received],
        "I8": [RESERVATION.parts_equal, receipts_equal],
        "I9": [RESERVATION.requested, answers],
    },
)
