"""Scripts that make a seeded system inconsistent, and the discrepancy that the audit must report."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A script that makes a system inconsistent, and the reported discrepancy; `{booked}` etc. are ids of rentals."""

    invariant: str
    script: str
    reported: str
    at_provider: bool = False


def rental(kind: str, change: str) -> str:
    return f"update video_rental_rentals.rentals set {change} where rental_id = '{{{kind}}}'"


def payment(kind: str, change: str) -> str:
    return f"""
        update payments.payments set {change} where payment_id =
          (select payment_id from video_rental_rentals.rentals where rental_id = '{{{kind}}}')"""


CASES = [
    # I1
    Case(
        "I1", rental("booked", "status = 'AWAITING_PAYMENT'"), "rental {booked} awaits its payment, and no step settles"
    ),
    Case(
        "I1",
        "delete from video_rental_rentals.inbox where state = 'waiting'",
        "rental {booked} is BOOKED, and no timer",
    ),
    Case(
        "I1",
        rental("late", "late_fee_status = 'PAYING'"),
        "the late fee of rental {late} is PAYING, and no step settles",
    ),
    Case("I1", payment("booked", "status = 'REQUESTED'"), "is REQUESTED, and no step settles it"),
    Case("I1", payment("booked", "status = 'VOIDING'"), "is VOIDING, and no step drives it"),
    Case("I1", "update payments.refunds set status = 'REFUND_FAILED'", "is not through, and no step drives it"),
    Case(
        "I1",
        "update video_rental_rentals.inbox set due_at = now() - interval '5 minutes' where state = 'waiting'",
        "video_rental.rentals has not processed video_rental.rentals.give_up_booking",
    ),
    # I2
    Case(
        "I2",
        "insert into provider.charges (key, amount, captured) values (gen_random_uuid(), 3000, 3000)",
        "of 3000 won was captured, and payments has no row of it",
        at_provider=True,
    ),
    Case(
        "I2",
        """update video_rental_rentals.rentals a set payment_id = b.payment_id from video_rental_rentals.rentals b
        where a.rental_id = '{booked}' and b.rental_id = '{rented}'""",
        "pays for more than one thing: rental",
    ),
    # I3
    Case("I3", "update video_rental_rentals.holds set held = held + 1", "3 copies are held, 2 rentals are active"),
    Case("I3", "delete from video_rental_rentals.holds", "0 copies are held, 2 rentals are active"),
    Case(
        "I3",
        """drop index video_rental_rentals.rentals_one_active;
        update video_rental_rentals.rentals set member_id = 'minji' where status in ('BOOKED', 'RENTED')""",
        "member minji has 2 active rentals of video",
    ),
    Case(
        "I3",
        """update video_rental_rentals.videos set copies = 1;
        update journal.events set body = replace(body, '"copies":100000', '"copies":1')""",
        "2 rentals are active, of 1 copies at most",
    ),
    # I4
    Case(
        "I4",
        "update provider.charges set voided = captured where refunded = 0",
        "rental {booked} is BOOKED for 3000",
        True,
    ),
    Case("I4", "update provider.charges set voided = 0", "captured and not voided 0, at the provider 3000", True),
    Case("I4", "update provider.charges set refunded = 0", "3000 won are kept of charge", True),
    Case("I4", "delete from provider.refunds; delete from provider.charges", "and there is no charge", True),
    Case("I4", payment("booked", "amount = 2999"), "(APPROVED): amount 2999, at the provider 3000"),
    Case("I4", rental("partly", "status = 'BOOKED'"), "is BOOKED, and 500 won of its payment"),
    Case("I4", payment("partly", "refunded = 400"), "0 under way, the sums of its refunds are 500"),
    Case("I4", payment("rented", "status = 'DECLINED'"), "rental {rented} is RENTED for 3000 won, and payment"),
    Case("I4", rental("cancelled", "status = 'BOOKED'"), "rental {cancelled} is BOOKED, and was refunded"),
    Case("I4", rental("booked", "status = 'CANCELLED'"), "rental {booked} is CANCELLED"),
    Case("I4", rental("late", "late_fee_payment_id = null"), "which no booking of video_rental.rentals names"),
    Case("I4", rental("returned", "price = 2000"), "in all 15500 won are kept, and 14500 are due"),
    # I5
    Case(
        "I5",
        "delete from video_rental_my_page.rentals where rental_id = '{booked}'",
        "my_page has not received rental {booked}, version 2",
    ),
    Case("I5", "delete from video_rental_my_page.videos", "my_page has not received video"),
    Case("I5", "delete from video_rental_my_page.payments", "my_page has not received payment"),
    Case("I5", "delete from video_rental_my_page.refunds", "my_page has not received refund"),
    Case("I5", "delete from video_rental_rentals.videos", "rentals has not received video"),
    Case("I5", "delete from video_rental_videos.videos", "which its writer does not have"),
    Case(
        "I5",
        "delete from video_rental_rentals.rentals where rental_id = '{rejected}'",
        "my_page has rental {rejected}, which its writer does not have",
    ),
    Case("I5", rental("rented", "version = 4"), "my_page has version 3 of rental {rented}, its writer version 4"),
    Case(
        "I5",
        "delete from payments.refunds where requested_by = 'rentals'",
        "rental {cancelled}: payments does not have its refund",
    ),
    Case(
        "I5", payment("unavailable", "status = 'APPROVED'"), "rental {unavailable}: payments has not voided its payment"
    ),
    Case(
        "I5",
        "delete from journal.events where topic = 'video_rental.rentals.video_booked' and story_id = '{booked}'",
        "the journal has 1 of 2 versions of rental {booked}",
    ),
    Case(
        "I5",
        """update journal.events set things = array[gen_random_uuid()]
        where topic = 'video_rental.rentals.video_booked' and story_id = '{booked}'; insert into journal.events
        select position, gen_random_uuid(), topic, context, story_id, causation_id, actor, at, things, body
        from journal.events where story_id = '{rented}'""",
        "of a rental that its writer does not have",
    ),
    # I6
    Case("I6", "update provider.refunds set amount = amount + 1", "won is REFUNDED, and the provider gave back", True),
    Case("I6", "update provider.charges set refunded = 0", "0 won are refunded, its refunds are", True),
    Case(
        "I6",
        "insert into provider.refunds (key, charge_key, amount) select gen_random_uuid(), key, 1 from provider.charges",
        "refund",
        at_provider=True,
    ),
    Case("I6", "delete from payments.entries where version = 2", "has 1 entries for 2 versions"),
    Case(
        "I6",
        """insert into video_rental_my_page.timeline
        select generation, subject, version, 'BookingRejected', at, status from video_rental_my_page.timeline
        where subject = '{booked}' and version = 2""",
        "version 2 of {booked} was published by BookingRejected, video_rental.rentals.video_booked",
    ),
    # I7
    Case(
        "I7",
        "update video_rental_my_page.rentals set version = 2 where rental_id = '{rented}'",
        "my_page shows version 2 of rental {rented}, and has received version 3",
    ),
    Case(
        "I7",
        "delete from video_rental_my_page.timeline where subject = '{rented}' and version = 2",
        "my_page shows version 3 of rental {rented}, and its timeline has 2 versions",
    ),
    Case("I7", "delete from video_rental_my_page.timeline", "my_page shows version 1 of video"),
    # I8
    Case(
        "I8",
        "update video_rental_my_page.rentals set status = 'BOOKED', price = 1 where rental_id = '{rented}'",
        "rental {rented}: my_page does not have the price, status of its writer",
    ),
    Case(
        "I8", "update video_rental_my_page.videos set title = 'Oldboy'", "my_page does not have the title of its writer"
    ),
    Case("I8", "update video_rental_rentals.videos set copies = 9", "rentals does not have the copies of its writer"),
    Case(
        "I8",
        rental("booked", "payment_status = 'VOIDED'"),
        "rental {booked} has its payment as VOIDED, and it is APPROVED",
    ),
    Case(
        "I8",
        rental("cancelled", "refund_status = 'PENDING'"),
        "rental {cancelled} has its refund as PENDING 3000, and it is REFUNDED 3000",
    ),
    # I9
    Case(
        "I9",
        "delete from video_rental_rentals.rentals where rental_id = '{booked}'",
        "booking {booked} was answered with a rental that is not there",
    ),
    Case(
        "I9",
        rental("booked", "status = 'AWAITING_PAYMENT'"),
        "booking {booked} was answered, and its rental still awaits payment",
    ),
    Case(
        "I9",
        "update video_rental_rentals.inbox set answer = '{{}}' where id = '{booked}'",
        "booking {booked} was answered with another rental",
    ),
    Case(
        "I9",
        rental("rejected", "status = 'BOOKED'"),
        "booking {rejected} was refused (payment_declined), and its rental is BOOKED",
    ),
    Case(
        "I9",
        """update video_rental_rentals.inbox set refused = true, answer = '{{"code": "already_booked"}}'
        where id = '{booked}'""",
        "booking {booked} was refused (already_booked), and its rental is BOOKED",
    ),
    Case(
        "I9",
        "delete from video_rental_rentals.inbox where id = '{booked}'",
        "rental {booked} has no request in the inbox",
    ),
    Case("I9", "delete from video_rental_videos.videos", "was answered for, and is not there"),
    Case("I9", "delete from payments.payments where status = 'APPROVED'", "was answered for, and is not there"),
]
