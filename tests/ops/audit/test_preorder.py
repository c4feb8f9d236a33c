"""The audit of phone pre-order reports nothing for a consistent system, and each contradiction by its name."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

import ops.audit.runner
from ops.audit import audit
from tests.conftest import MakeSettings
from tests.ops.conftest import Seeded
from tests.ops.contradictions import Case
from tests.preorder.conftest import system_with
from tests.preorder.helpers import cancel, known_product, reserve, wait_until_cancelled
from tests.support.system import customer


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again without a pause: nothing changes in a stopped system."""
    monkeypatch.setattr(ops.audit.runner, "RECHECK_SECONDS", 0.0)


@pytest.fixture(scope="module")
async def original(make_settings: MakeSettings) -> Seeded:
    """The stores of a stopped system after its stories, with a reservation of each kind."""
    async with system_with(make_settings, "journal") as system:
        product_id = await known_product(system, quota=2)
        confirmed = await system.done(reserve(product_id))
        off = await system.done(reserve(product_id))
        await system.done(cancel(off))
        rejected, unanswered = await asyncio.gather(
            system.refused(reserve(await known_product(system), customer(), "tok_declined")),
            system.refused(reserve(await known_product(system), customer(), "tok_slow")),
        )
        await wait_until_cancelled(system, off)
        await system.wait_until_idle()
        kinds = {"confirmed": confirmed, "off": off, "rejected": rejected, "unanswered": unanswered}
        settings = system.settings
    return Seeded(settings, {kind: UUID(one["reservation_id"]) for kind, one in kinds.items()})


def reservation(kind: str, change: str) -> str:
    return f"update preorder_reservations.reservations set {change} where reservation_id = '{{{kind}}}'"


def receipt(kind: str, change: str) -> str:
    return f"update preorder_receipts.receipts set {change} where reservation_id = '{{{kind}}}'"


CASES = [
    Case("I1", reservation("confirmed", "status = 'AWAITING_PAYMENT'"), "reservation {confirmed} awaits its payment"),
    Case("I1", reservation("off", "status = 'CANCELLING'"), "reservation {off} is CANCELLING, and every compensation"),
    Case("I3", "update preorder_reservations.quotas set taken = taken + 1", "are taken,"),
    Case("I3", "delete from preorder_reservations.quotas", "0 are taken, 1 are active"),
    Case(
        "I3",
        "drop index preorder_reservations.reservations_one_active;"
        "update preorder_reservations.reservations set status = 'CONFIRMED', member_id = 'minji', paid_at = now(),"
        " product_id = (select product_id from preorder_receipts.receipts where reservation_id = '{confirmed}')",
        "member minji has 5 active reservations",
    ),
    Case(
        "I3",
        "update preorder_reservations.reservations set status = 'CONFIRMED', paid_at = now(),"
        " product_id = (select product_id from preorder_receipts.receipts where reservation_id = '{confirmed}')",
        "5 are active, of 2 at most",
    ),
    Case(
        "I2",
        "update preorder_reservations.reservations a set payment_id = b.payment_id"
        " from preorder_reservations.reservations b where a.reservation_id = '{rejected}'"
        " and b.reservation_id = '{confirmed}'",
        "pays for more than one thing",
    ),
    Case("I4", reservation("rejected", "status = 'CONFIRMED', paid_at = now()"), "reservation {rejected} is CONFIRMED"),
    Case("I4", reservation("confirmed", "status = 'REJECTED'"), "reservation {confirmed} is REJECTED"),
    Case("I4", "delete from preorder_reservations.reservations", "which no booking of preorder.reservations names"),
    Case(
        "I4",
        "update provider.charges set captured = 0 where captured > voided + refunded",
        "captured and not voided",
        at_provider=True,
    ),
    Case("I5", "delete from preorder_receipts.receipts", "is CONFIRMED, and its receipt is not there"),
    Case("I5", receipt("off", "status = 'ISSUED'"), "reservation {off} is CANCELLED, and its receipt is ISSUED"),
    Case("I5", "delete from payments.refunds", "reservation {off}: payments does not have its refund"),
    Case("I5", "delete from payments.payments", "reservation {unanswered}: payments has not voided its payment"),
    Case("I5", "delete from preorder_my_reservations.reservations", "my_reservations has not received reservation"),
    Case("I5", "delete from preorder_my_reservations.receipts", "my_reservations has not received receipt"),
    Case("I5", "delete from preorder_my_reservations.products", "my_reservations has not received product"),
    Case("I5", "delete from preorder_reservations.products", "reservations has not received product"),
    Case(
        "I5",
        "delete from journal.events where topic = 'preorder.reservations.reservation_confirmed'",
        "versions of preorder reservation {confirmed}",
    ),
    Case(
        "I6",
        "insert into preorder_my_reservations.timeline select generation, subject, version, 'ReservationRejected', at,"
        " status from preorder_my_reservations.timeline where subject = '{confirmed}' and version = 2",
        "version 2 of {confirmed} was published by",
    ),
    Case("I7", "delete from preorder_my_reservations.timeline", "my_reservations shows version 1 of product"),
    Case("I8", "update preorder_my_reservations.reservations set price = 1", "my_reservations does not have the price"),
    Case("I8", reservation("confirmed", "payment_status = 'VOIDED'"), "has its payment as VOIDED, and it is APPROVED"),
    Case("I8", reservation("off", "refund_status = 'PENDING'"), "reservation {off} has its refund as PENDING"),
    Case("I8", reservation("confirmed", "receipt_status = 'VOIDED'"), "has its receipt as VOIDED, and it is ISSUED"),
    Case(
        "I8",
        receipt("confirmed", "issued_at = now()"),
        "the receipt of reservation {confirmed} does not match its payment",
    ),
    Case(
        "I8",
        receipt("confirmed", "expected_delivery = expected_delivery + 1"),
        "{confirmed} does not match its payment",
    ),
    Case("I9", "delete from preorder_reservations.inbox", "reservation {confirmed} has no request in the inbox"),
    Case("I9", "delete from preorder_products.products", "was answered for, and is not there"),
    Case("I9", reservation("rejected", "status = 'CANCELLED'"), "{rejected} was refused (payment_declined), and its"),
    Case("I9", reservation("off", "paid_at = null"), "{off} was answered with one that was never paid"),
]


async def test_a_system_after_its_story_is_consistent(stores: Seeded) -> None:
    assert not any((await audit(stores.settings)).values())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.invariant} {case.reported[:60]}")
async def test_each_contradiction_is_reported(stores: Seeded, case: Case) -> None:
    await stores.run(case.script, provider=case.at_provider)

    found = await audit(stores.settings)

    reported = case.reported.format(**stores.rentals)
    assert [line for line in found[case.invariant] if reported in line], found


async def test_lowering_a_quota_that_is_in_use_is_no_discrepancy(stores: Seeded) -> None:
    await stores.run("update preorder_reservations.products set quota = 0")

    assert (await audit(stores.settings))["I3"] == []


async def test_contexts_that_do_not_run_are_not_expected_to_have_received_anything(stores: Seeded) -> None:
    await stores.run("delete from preorder_receipts.receipts; delete from preorder_my_reservations.timeline")

    found = await audit(
        stores.settings, without={"journal", "preorder.receipts", "preorder.my_reservations", "preorder.reservations"}
    )

    assert found["I5"] == found["I7"] == []
