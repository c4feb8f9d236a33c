"""Write the stores of an idle system with every kind of rental."""

from __future__ import annotations

from uuid import UUID, uuid4, uuid5

import asyncpg

from ops.settings import SystemSettings
from tests.ops.seed_cafe import CAFE, NAMES

KINDS = ("booked", "rented", "returned", "cancelled", "rejected", "unavailable", "late", "partly")
"""How rentals ended; the list repeats."""

PRICE, LATE_FEE, BY_HAND = 3000, 1000, 500

PLAN = """
    create temp table plan (i int, kind text, rental_id uuid, video_id uuid, payment_id uuid, refund_id uuid,
      late_id uuid, late_payment_id uuid)"""

HOME = """
    insert into video_rental_videos.videos (video_id, title, daily_price, copies, status, registered_by, version)
      select distinct video_id, 'Casablanca', 1000, 100000, 'AVAILABLE', 'kim', 1 from plan;
    insert into video_rental_videos.inbox (id, topic, digest, owner, state, answer, story_id, actor)
      select video_id, 'video_rental.videos.register_video', '', video_id, 'done',
        json_build_object('video_id', video_id)::text, video_id, 'staff:kim' from video_rental_videos.videos;
    insert into video_rental_rentals.videos select * from video_rental_videos.videos;

    insert into video_rental_rentals.rentals (rental_id, video_id, member_id, days, daily_price, price, status, reason,
        payment_id, payment_status, payment_version, refunded, refund_id, refund_status, refund_amount, refund_version,
        pickup_until, picked_up_at, due_at, returned_at, late_fee, late_fee_status, late_fee_payment_id, version)
      select rental_id, video_id, 'member-' || i, 3, 1000, :price,
        case kind when 'booked' then 'BOOKED' when 'partly' then 'RETURNED' when 'rented' then 'RENTED'
          when 'returned' then 'RETURNED' when 'late' then 'RETURNED' when 'rejected' then 'REJECTED'
          else 'CANCELLED' end,
        case kind when 'rejected' then 'insufficient_funds' when 'unavailable' then 'payment_unavailable'
          when 'cancelled' then 'cancelled_by_member' end,
        payment_id,
        case kind when 'cancelled' then 'REFUNDED' when 'rejected' then 'DECLINED' when 'unavailable' then 'VOIDED'
          when 'partly' then 'PARTIALLY_REFUNDED' else 'APPROVED' end,
        case when kind in ('cancelled', 'partly', 'unavailable') then 2 else 0 end,
        case kind when 'cancelled' then :price when 'partly' then :by_hand else 0 end,
        case kind when 'cancelled' then refund_id end, case kind when 'cancelled' then 'REFUNDED' end,
        case kind when 'cancelled' then :price end, case kind when 'cancelled' then 2 else 0 end,
        case when kind not in ('rejected', 'unavailable') then now() + interval '48 hours' end,
        case when kind in ('rented', 'returned', 'late', 'partly') then now() end,
        case when kind in ('rented', 'returned', 'late', 'partly') then now() + interval '3 days' end,
        case when kind in ('returned', 'late', 'partly') then now() end,
        case kind when 'late' then :late_fee else 0 end, case kind when 'late' then 'PAID' else 'NONE' end,
        late_payment_id,
        case when kind = 'late' then 6 when kind in ('returned', 'partly') then 4
          when kind in ('rented', 'cancelled') then 3 else 2 end
      from plan;
    insert into video_rental_rentals.holds
      select video_id, count(*) filter (where status in ('BOOKED', 'RENTED'))
      from video_rental_rentals.rentals group by 1;
    insert into video_rental_rentals.inbox (id, topic, digest, owner, state, answer, refused, story_id, actor)
      select rental_id, 'video_rental.rentals.book_video', 'd', rental_id, 'done',
        case kind when 'rejected' then json_build_object('code', 'payment_declined', 'rental_id', rental_id)::text
          when 'unavailable' then json_build_object('code', 'payment_unavailable', 'rental_id', rental_id)::text
          else row_to_json(r)::text end,
        kind in ('rejected', 'unavailable'), rental_id, 'customer:kim'
      from plan join video_rental_rentals.rentals r using (rental_id);
    insert into video_rental_rentals.inbox
        (id, topic, digest, owner, state, body, due_at, story_id, causation_id, actor)
      select gen_random_uuid(), 'video_rental.rentals.give_up_booking', '', rental_id, 'waiting',
        json_build_object('rental_id', rental_id)::text, now() + interval '48 hours', rental_id, rental_id,
        'customer:kim'
      from video_rental_rentals.rentals where pickup_until is not null;

    insert into payments.payments
        (payment_id, status, payer, amount, purpose, method, captured, refunded, voided, version)
      select payment_id, payment_status, member_id, price, 'video_rental.rentals', 'card',
        case payment_status when 'DECLINED' then 0 when 'VOIDED' then 0 else price end, refunded,
        case payment_status when 'VOIDED' then price else 0 end,
        case when payment_version > 0 then payment_version else 1 end
      from video_rental_rentals.rentals
      union all
      select late_fee_payment_id, 'APPROVED', member_id, late_fee, 'video_rental.rentals', 'card', late_fee, 0, 0, 1
      from video_rental_rentals.rentals where late_fee_payment_id is not null;
    insert into payments.inbox (id, topic, digest, owner, state, answer, refused, story_id, causation_id, actor)
      select payment_id, 'payments.request_payment', '', payment_id, 'done', '{}', status in ('DECLINED', 'VOIDED'),
        coalesce(rental_id, late_rental_id), coalesce(rental_id, late_id), 'customer:kim'
      from payments.payments left join (select rental_id, payment_id from plan) a using (payment_id)
      left join (select rental_id as late_rental_id, late_id, late_payment_id as payment_id from plan) b
        using (payment_id);
    insert into payments.refunds (refund_id, payment_id, payer, amount, status, requested_by, tries, logged_at, version)
      select refund_id, payment_id, 'member-' || i, case kind when 'partly' then :by_hand else :price end, 'REFUNDED',
        case kind when 'partly' then 'kim' else 'rentals' end, 1, now(), 2
      from plan where refund_id is not null;
    insert into payments.entries (subject_id, version, payment_id, what, amount)
      select payment_id, v, payment_id, 'CHANGED', amount from payments.payments, generate_series(1, version) v
      union all
      select refund_id, v, payment_id, 'REFUND', amount from payments.refunds, generate_series(1, version) v;

    insert into video_rental_my_page.rentals
      select 1, rental_id, version, video_id, member_id, days, daily_price, price, status, reason, payment_id,
        pickup_until, picked_up_at, due_at, returned_at, late_fee, late_fee_status, late_fee_payment_id, created_at,
        modified_at
      from video_rental_rentals.rentals;
    insert into video_rental_my_page.videos select 1, video_id, version, title from video_rental_videos.videos;
    insert into video_rental_my_page.payments select 1, payment_id, version, status, amount from payments.payments;
    insert into video_rental_my_page.refunds
      select 1, refund_id, version, payment_id, status, amount, created_at from payments.refunds;
    insert into preorder_my_reservations.payments select * from video_rental_my_page.payments;
    insert into preorder_my_reservations.refunds select * from video_rental_my_page.refunds;

    create temp table said as
      select rental_id as id, v as version, 'video_rental.rentals.' || case v when 1 then 'booking_started'
          when 2 then 'video_booked' else 'video_returned' end as topic,
        array[rental_id, payment_id, video_id] as things,
        row_to_json(r)::text as state
      from video_rental_rentals.rentals r, generate_series(1, version) v
      union all
      select video_id, v, 'video_rental.videos.video_registered', array[video_id], row_to_json(r)::text
      from video_rental_videos.videos r, generate_series(1, version) v
      union all
      select payment_id, v, 'payments.payment_' || case v when 1 then 'approved' else 'refunded' end, array[payment_id],
        row_to_json(r)::text
      from payments.payments r, generate_series(1, version) v
      union all
      select refund_id, v, 'payments.refund_' || case v when 1 then 'started' else 'succeeded' end,
        array[refund_id, payment_id], row_to_json(r)::text
      from payments.refunds r, generate_series(1, version) v;
    insert into video_rental_my_page.timeline (generation, subject, version, what, at, status)
      select 1, id, version, topic, now(), '' from said;
    insert into journal.events (position, message_id, topic, context, story_id, actor, at, things, body)
      select row_number() over (), gen_random_uuid(), topic, topic, id, '', now(), things,
        '{"version":' || version || ',' || substr(state, 2) from said;
    drop table said"""

PROVIDER = """
    insert into provider.charges (key, amount, captured, voided, refunded, declined)
      select payment_id, :price, case kind when 'rejected' then 0 else :price end,
        case kind when 'unavailable' then :price else 0 end,
        case kind when 'cancelled' then :price when 'partly' then :by_hand else 0 end,
        case kind when 'rejected' then 'insufficient_funds' end
      from plan
      union all
      select late_payment_id, :late_fee, :late_fee, 0, 0, null from plan where late_payment_id is not null;
    insert into provider.refunds (key, charge_key, amount)
      select refund_id, payment_id, case kind when 'partly' then :by_hand else :price end
      from plan where refund_id is not null"""


async def seed(settings: SystemSettings, count: int = len(KINDS)) -> dict[str, UUID]:
    """Write `count` rentals of every kind, one of each video in ten, and a café; return one rental of each kind."""
    videos = [uuid4() for _ in range(max(1, count // 10))]
    plan = [_row(i, videos) for i in range(count)]
    for url, script in (
        (settings.database_url.get_secret_value(), f"{HOME};{CAFE}"),
        (settings.provider_database, PROVIDER),
    ):
        for name, value in (("price", PRICE), ("late_fee", LATE_FEE), ("by_hand", BY_HAND)):
            script = script.replace(f":{name}", str(value))
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction():
                await connection.execute(PLAN)
                await connection.copy_records_to_table("plan", records=plan)
                await connection.execute(script)
            await connection.execute("drop table plan; analyze")
        finally:
            await connection.close()
    return {row[1]: row[2] for row in reversed(plan)} | NAMES


def _row(i: int, videos: list[UUID]) -> tuple[int, str, UUID, UUID, UUID, UUID | None, UUID | None, UUID | None]:
    kind = KINDS[i % len(KINDS)]
    rental_id = uuid4()
    refund_id = {"cancelled": uuid5(rental_id, "refund"), "partly": uuid4()}.get(kind)
    late_id = uuid4() if kind == "late" else None
    late_payment_id = uuid5(late_id, "payment") if late_id else None
    return i, kind, rental_id, videos[i % len(videos)], uuid5(rental_id, "payment"), refund_id, late_id, late_payment_id
