"""Video rental: the checks of copies, late fees, refunds and the answers to requests."""
# ruff: noqa: S608 - statements are put together from constants of this package

from __future__ import annotations

from uuid import uuid5

from contracts.video_rental.rentals import BookVideo, GiveUpBooking, PayLateFee, RentalEvent
from contracts.video_rental.videos import RegisterVideo, VideoChanged, VideoRegistered, VideoState
from ops.audit.invariant import (
    Publication,
    SystemChecks,
    TableComparison,
    UnfinishedCheck,
    columns_of,
    payments_for,
    steps_naming,
    topics_of,
    view_comparison,
)
from ops.audit.paid import PaidThing
from ops.audit.stores import Row, Stores
from storage.video_rental import my_page

MINE = payments_for("video_rental.rentals")
ACTIVE = "status in ('AWAITING_PAYMENT', 'BOOKED', 'RENTED')"
RENTAL = PaidThing(
    "rental",
    "video_rental_rentals.rentals",
    "rental_id",
    created_by=[BookVideo],
    due="status in ('BOOKED', 'RENTED', 'RETURNED')",
    in_use="status in ('BOOKED', 'RENTED')",
    given_up="status = 'CANCELLED' and pickup_until is null",
)


# -- I1


async def unsettled_late_fees(stores: Stores) -> list[str]:
    """Find late fees that are PAYING without a step that settles them."""
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


# -- I3


async def capacity(stores: Stores) -> list[str]:
    """Check that held copies equal active rentals, one for each member, and no more than the video has copies."""
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
    return found + await _more_than_there_ever_were(stores)


async def _more_than_there_ever_were(stores: Stores) -> list[str]:
    """Check the number of copies; it may have been lowered later, so the journal's largest value counts."""
    over = await stores.rows(f"""
        select video_id, copies, count(*) as active from <video_rental_rentals.videos>
        join (select video_id from <video_rental_rentals.rentals> where {ACTIVE}) r using (video_id)
        group by video_id, copies having count(*) > copies order by video_id""")
    found = []
    for row in over:
        registered = await stores.rows(
            """select max((body::json ->> 'copies')::int) as copies from <journal.events>
            where things @> array[$1::uuid] and topic = any($2::text[])""",
            row["video_id"],
            [VideoRegistered.topic, VideoChanged.topic],
        )
        most = max(row["copies"], registered[0]["copies"] or 0)
        if row["active"] > most:
            found.append(f"video {row['video_id']}: {row['active']} rentals are active, of {most} copies at most")
    return found


# -- I9

BOOKED = """
    select i.id, i.refused, r.rental_id, r.status,
      case when i.refused then i.answer::json ->> 'code' end as code,
      strpos(i.answer, i.id::text) > 0 as names_it
    from <video_rental_rentals.inbox> i left join <video_rental_rentals.rentals> r on r.rental_id = i.id
    where i.topic = $1 and i.state = 'done' and i.answer is not null
      and (i.refused or r.rental_id is null or r.status = 'AWAITING_PAYMENT' or strpos(i.answer, i.id::text) = 0)
    order by i.id"""
ENDS = {"payment_declined": "REJECTED", "payment_unavailable": "CANCELLED"}
"""The refusals that keep the rental, and its status then."""


async def answers(stores: Stores) -> list[str]:
    """Check that each kept answer agrees with its row."""
    found = [
        sentence for row in await stores.rows(BOOKED, BookVideo.topic) if (sentence := _wrong_answer(row)) is not None
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
    return found


def _wrong_answer(row: Row) -> str | None:
    """Describe what is wrong with the answer to a booking; None when it agrees with its rental."""
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


CHECKS = SystemChecks(
    tables={
        "video_rental_videos": ("videos", "inbox"),
        "video_rental_rentals": ("rentals", "holds", "videos", "inbox"),
        "video_rental_my_page": ("generations", "rentals", "videos", "payments", "refunds", "timeline"),
    },
    writers={"video_rental.videos": "video_rental_videos", "video_rental.rentals": "video_rental_rentals"},
    views=[my_page.tables],
    comparisons=[
        TableComparison(
            "video",
            "video_id",
            "video_rental_videos.videos",
            "video_rental_rentals.videos",
            columns_of(VideoState, "video_id"),
        ),
        view_comparison(my_page.tables, my_page.videos, "video_id", "video_rental_videos.videos"),
        view_comparison(my_page.tables, my_page.rentals, "rental_id", "video_rental_rentals.rentals"),
        view_comparison(
            my_page.tables, my_page.payments, "payment_id", "payments.payments", published="version > 0", mine=MINE
        ),
        view_comparison(my_page.tables, my_page.refunds, "refund_id", "payments.refunds", mine=MINE),
    ],
    publications=[
        Publication("video", "video_rental_videos.videos", "video_id", [VideoRegistered.topic, VideoChanged.topic]),
        Publication("rental", "video_rental_rentals.rentals", "rental_id", topics_of(RentalEvent)),
    ],
    unfinished=[
        RENTAL.unfinished,
        UnfinishedCheck(
            "rental {} is BOOKED, and no timer would give it up",
            "select rental_id as id from <video_rental_rentals.rentals> where status = 'BOOKED'",
            steps_naming("video_rental_rentals", "rental_id"),
            GiveUpBooking.topic,
        ),
    ],
    claims=[
        RENTAL.claim,
        """
        select rental_id, 'late fee of rental', late_fee_payment_id, late_fee, late_fee_status,
          case late_fee_status when 'PAID' then 'due' when 'PAYING' then 'open' else 'void' end, null
        from <video_rental_rentals.rentals> where late_fee_payment_id is not null""",
    ],
    claim_kinds={
        "video_rental.rentals": "case when i.causation_id = i.story_id then 'rental' else 'late fee of rental' end"
    },
    fully_refunded=["rental"],
    checks={
        "I1": [unsettled_late_fees],
        "I3": [capacity],
        "I5": [RENTAL.not_received],
        "I8": [RENTAL.parts_equal],
        "I9": [RENTAL.requested, answers],
    },
)
