"""I1, I3, I9: no booking is lost, no copy has two holders, a repeated request has one effect.

What is under way is told from what is lost by the step that will take it up: a payment that is VOIDING is no
discrepancy while a step of payments drives it.
"""
# ruff: noqa: S608 - statements are put together from constants of this package

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

from contracts.payments import DriveRefund, DriveVoid, RequestPayment
from contracts.video_rental.rentals import BookVideo, GiveUpBooking, PayLateFee
from contracts.video_rental.videos import RegisterVideo, VideoChanged, VideoRegistered
from ops.audit import preorder
from ops.audit.stores import Row, Stores

LIVE = "state in ('started', 'waiting')"
ACTIVE = "status in ('AWAITING_PAYMENT', 'BOOKED', 'RENTED')"
WRITERS = {
    "payments": "payments",
    "video_rental.videos": "video_rental_videos",
    "video_rental.rentals": "video_rental_rentals",
    **preorder.WRITERS,
}
"""Contexts with an inbox, and their schemas."""


def _steps(schema: str, field: str) -> str:
    """The things that steps of one topic will take up, by a field of their bodies."""
    return f"select (body::json ->> '{field}')::uuid as id from <{schema}.inbox> where topic = $1 and {LIVE}"


OPEN_STEPS = (
    (
        "rental {} awaits its payment, and no step settles it",
        "select rental_id as id from <video_rental_rentals.rentals> where status = 'AWAITING_PAYMENT'",
        "select id from <video_rental_rentals.inbox> where topic = $1 and state = 'started'",
        BookVideo.topic,
    ),
    (
        "rental {} is BOOKED, and no timer would give it up",
        "select rental_id as id from <video_rental_rentals.rentals> where status = 'BOOKED'",
        _steps("video_rental_rentals", "rental_id"),
        GiveUpBooking.topic,
    ),
    (
        "payment {} is REQUESTED, and no step settles it",
        "select payment_id as id from <payments.payments> where status = 'REQUESTED'",
        _steps("payments", "payment_id"),
        RequestPayment.topic,
    ),
    (
        "payment {} is VOIDING, and no step drives it",
        "select payment_id as id from <payments.payments> where status = 'VOIDING'",
        _steps("payments", "payment_id"),
        DriveVoid.topic,
    ),
    (
        "refund {} is not through, and no step drives it",
        "select refund_id as id from <payments.refunds> where status <> 'REFUNDED'",
        _steps("payments", "refund_id"),
        DriveRefund.topic,
    ),
    *preorder.OPEN_STEPS,
)
"""What is said of a thing that nobody takes up, the things that are under way, and the steps that take them up."""


async def i1_no_loss(stores: Stores) -> list[str]:
    """Whatever is under way has a step that will take it up, and no step waits for ever."""
    found = []
    for sentence, things, steps, topic in OPEN_STEPS:
        rows = await stores.rows(
            f"""
            with things as ({things}), steps as ({steps})
            select id from things where not exists (select from steps where steps.id = things.id) order by id""",
            topic,
        )
        found += [sentence.format(row["id"]) for row in rows]
    found += await _late_fees_nobody_settles(stores)
    found += await preorder.left_cancelling(stores)
    for context, schema in WRITERS.items():
        rows = await stores.rows(f"""
            select topic, id from <{schema}.inbox> where {LIVE} and due_at < now() - interval '1 minute'
            order by due_at""")
        found += [f"{context} has not taken up {row['topic']} {row['id']}, which is long due" for row in rows]
    return found


async def _late_fees_nobody_settles(stores: Stores) -> list[str]:
    paying = await stores.rows("""
        select rental_id, late_fee_payment_id from <video_rental_rentals.rentals> where late_fee_status = 'PAYING'
        order by rental_id""")
    started = await stores.rows(
        "select id from <video_rental_rentals.inbox> where topic = $1 and state = 'started'", PayLateFee.topic
    )
    payments = {uuid5(row["id"], "payment") for row in started}
    return [
        f"the late fee of rental {row['rental_id']} is PAYING, and no step settles it"
        for row in paying
        if row["late_fee_payment_id"] not in payments
    ]


# -- capacity


async def i3_capacity(stores: Stores) -> list[str]:
    """The copies held of a video are those of its active rentals, and no more than there ever were."""
    uneven = await stores.rows(f"""
        with active as (
          select video_id, count(*) as active from <video_rental_rentals.rentals> where {ACTIVE} group by video_id)
        select coalesce(a.video_id, h.video_id) as id, coalesce(held, 0) as held, coalesce(active, 0) as active
        from active a full join <video_rental_rentals.holds> h on h.video_id = a.video_id
        where coalesce(held, 0) <> coalesce(active, 0) or held < 0 order by 1""")
    twice = await stores.rows(f"""
        select member_id, video_id, count(*) from <video_rental_rentals.rentals> where {ACTIVE}
        group by member_id, video_id having count(*) > 1 order by member_id, video_id""")
    found = [f"video {row['id']}: {row['held']} copies are held, {row['active']} rentals are active" for row in uneven]
    found += [
        f"member {row['member_id']} has {row['count']} active rentals of video {row['video_id']}" for row in twice
    ]
    found += await preorder.quotas(stores)
    return found + await _more_than_there_ever_were(stores)


async def _more_than_there_ever_were(stores: Stores) -> list[str]:
    """Copies may be taken away while they are out, so the journal is asked how many there were."""
    over = await stores.rows(f"""
        select video_id, copies, count(*) as active from <video_rental_rentals.videos>
        join (select video_id from <video_rental_rentals.rentals> where {ACTIVE}) r using (video_id)
        group by video_id, copies having count(*) > copies order by video_id""")
    found = []
    for row in over:
        told = await stores.rows(
            """select max((body::json ->> 'copies')::int) as copies from <journal.events>
            where things @> array[$1::uuid] and topic = any($2::text[])""",
            row["video_id"],
            [VideoRegistered.topic, VideoChanged.topic],
        )
        most = max(row["copies"], told[0]["copies"] or 0)
        if row["active"] > most:
            found.append(f"video {row['video_id']}: {row['active']} rentals are active, of {most} copies at most")
    return found


# -- answers

BOOKED = """
    select i.id, i.refused, r.rental_id, r.status,
      case when i.refused then i.answer::json ->> 'code' end as code,
      strpos(i.answer, i.id::text) > 0 as names_it
    from <video_rental_rentals.inbox> i left join <video_rental_rentals.rentals> r on r.rental_id = i.id
    where i.topic = $1 and i.state = 'done' and i.answer is not null
      and (i.refused or r.rental_id is null or r.status = 'AWAITING_PAYMENT' or strpos(i.answer, i.id::text) = 0)
    order by i.id"""
ENDS = {"payment_declined": "REJECTED", "payment_unavailable": "CANCELLED"}
"""The refusals that keep the rental, and how it ended."""


async def i9_idempotency(stores: Stores) -> list[str]:
    """Each kept answer is true of the row that it speaks of, and each row came from a request that was kept."""
    found = [sentence for row in await stores.rows(BOOKED, BookVideo.topic) if (sentence := _untrue(row)) is not None]
    kept = timedelta(days=stores.settings.keep_answers_days) - timedelta(hours=1)
    found += [
        f"rental {row['rental_id']} came from no request that was kept"
        for row in await stores.rows(
            """select rental_id from <video_rental_rentals.rentals> r where created_at > now() - $2::interval
              and not exists (select from <video_rental_rentals.inbox> i where i.id = r.rental_id and i.topic = $1)
            order by rental_id""",
            BookVideo.topic,
            kept,
        )
    ]
    found += [
        f"video {row['id']} was answered for, and is not there"
        for row in await stores.rows(
            """select id from <video_rental_videos.inbox> i
            where topic = $1 and state = 'done' and not refused and answer is not null
              and not exists (select from <video_rental_videos.videos> v where v.video_id = i.id) order by id""",
            RegisterVideo.topic,
        )
    ]
    found += await preorder.answers(stores)
    return found + await _payments_answered_for(stores)


def _untrue(row: Row) -> str | None:
    """What is wrong with the answer to a booking; None when it fits its rental."""
    if not row["refused"]:
        if row["rental_id"] is None:
            return f"booking {row['id']} was answered with a rental that is not there"
        if row["status"] == "AWAITING_PAYMENT":
            return f"booking {row['id']} was answered, and its rental still awaits payment"
        return f"booking {row['id']} was answered with another rental"
    expected = ENDS.get(row["code"])
    if row["status"] != expected:
        return f"booking {row['id']} was refused ({row['code']}), and its rental is {row['status'] or 'not there'}"
    return None


async def _payments_answered_for(stores: Stores) -> list[str]:
    """The answer names the payment: whoever asked may have asked under another id."""
    rows = await stores.rows(
        """select id, answer from <payments.inbox> i
        where topic = $1 and state = 'done' and not refused and answer is not null
          and not exists (select from <payments.payments> p where p.payment_id = i.id) order by id""",
        RequestPayment.topic,
    )
    named = {row["id"]: _payment_in(row["answer"]) for row in rows}
    there = await stores.rows(
        "select payment_id from <payments.payments> where payment_id = any($1::uuid[])",
        [payment_id for payment_id in named.values() if payment_id],
    )
    known = {row["payment_id"] for row in there}
    return [
        f"payment {payment_id or id} was answered for, and is not there"
        for id, payment_id in named.items()
        if payment_id not in known
    ]


def _payment_in(answer: str) -> UUID | None:
    fields: dict[str, Any] = json.loads(answer)
    return UUID(fields["payment_id"]) if "payment_id" in fields else None
