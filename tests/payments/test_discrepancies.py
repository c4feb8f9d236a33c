"""What the provider's webhooks and the daily reconciliation find, on the simulator's books."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from contracts.payment_discrepancies import (
    DiscrepancyKind,
    DiscrepancyState,
    ListDiscrepancies,
    NoteProviderEvent,
    ResolveDiscrepancy,
)
from contracts.payments import PaymentStatus, RefundSucceeded
from storage.payments import discrepancies as store
from tests.payments.conftest import STAFF, Payments, part_of, request, void
from workers.payments import reconciliation
from workers.payments.reconciliation import SEOUL

BOSS = STAFF.member_id


@pytest.fixture(autouse=True)
async def _no_discrepancies(payments: Payments) -> None:
    await payments.execute("truncate payments.discrepancies, payments.reconciliations")


async def in_the_dashboard(payments: Payments, statement: str, *values: Any) -> None:
    """Change the provider's books behind our back."""
    connection = await asyncpg.connect(payments.runtime.settings.provider_database)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def refund_in_the_dashboard(payments: Payments, payment_id: UUID, amount: int) -> None:
    await in_the_dashboard(
        payments, "update provider.charges set refunded = refunded + $2 where key = $1", payment_id, amount
    )


async def report(payments: Payments, payment_id: UUID, *, id: UUID | None = None) -> None:
    """Deliver a webhook's message, a while after the payment changed last."""
    await payments.execute("update payments.payments set modified_at = now() - interval '1 minute'")
    event = NoteProviderEvent(
        provider="simulator", event_id="1", kind="charged", payment_id=payment_id, reference=str(payment_id)
    )
    await payments.handle(event, id=id)


async def listed(payments: Payments) -> list[DiscrepancyState]:
    async with payments.runtime.database.session() as session:
        return (await store.newest(session, ListDiscrepancies(status="OPEN"))).items


async def test_a_charge_that_turns_up_late_is_voided_at_once(payments: Payments) -> None:
    payment = request()
    await payments.handle(void(payment))
    await payments.execute("update payments.payments set asked_at = now() - interval '1 hour'")
    await payments.wait_for(payment.payment_id, PaymentStatus.VOIDED)
    await in_the_dashboard(
        payments,
        "insert into provider.charges (key, amount, captured, failing_refunds) values ($1, 9000, 9000, 0)",
        payment.payment_id,
    )

    await report(payments, payment.payment_id)
    await payments.run_timers()

    assert await payments.net_charges() == 0
    assert await listed(payments) == []


async def test_a_webhook_before_the_answer_waits_for_it(payments: Payments) -> None:
    payment = request()
    await in_the_dashboard(
        payments,
        "insert into provider.charges (key, amount, captured, failing_refunds) values ($1, 9000, 9000, 0)",
        payment.payment_id,
    )
    await report(payments, payment.payment_id)
    assert await listed(payments) == []

    assert await payments.answer(payment) == "APPROVED"
    await payments.execute("update payments.payments set modified_at = now() - interval '1 minute'")
    await payments.run_timers()

    assert await listed(payments) == []
    assert await payments.net_charges() == 9000


async def test_a_charge_that_nobody_settles_is_named(payments: Payments) -> None:
    key = uuid4()
    await in_the_dashboard(
        payments,
        "insert into provider.charges (key, amount, captured, failing_refunds, created_at) "
        "values ($1, 9000, 9000, 0, now() - interval '1 hour')",
        key,
    )

    await report(payments, key)

    (found,) = await listed(payments)
    assert (found.kind, found.amount, found.payment_id, found.payer) == (DiscrepancyKind.UNKNOWN_CHARGE, 9000, key, "")


async def test_a_refund_in_the_dashboard_is_named_once_however_often_it_is_reported(payments: Payments) -> None:
    payment = request()
    await payments.answer(payment)
    await refund_in_the_dashboard(payments, payment.payment_id, 2500)

    id = uuid4()
    for same in (id, id, uuid4()):
        await report(payments, payment.payment_id, id=same)

    (found,) = await listed(payments)
    assert (found.kind, found.amount, found.payer) == (DiscrepancyKind.REFUNDED_AT_PROVIDER, 2500, "kim")
    assert (found.purpose, found.version) == ("video_rental.rentals", 1)
    assert (await payments.event_names()).count("DiscrepancyFound") == 1


async def test_a_difference_that_grows_is_opened_again(payments: Payments) -> None:
    payment = request()
    await payments.answer(payment)
    await refund_in_the_dashboard(payments, payment.payment_id, 2500)
    await report(payments, payment.payment_id)
    (found,) = await listed(payments)
    resolve = ResolveDiscrepancy(discrepancy_id=found.discrepancy_id, resolution="called them", caller=STAFF)

    assert await payments.answer(resolve) == "RESOLVED"
    assert await payments.answer(resolve) == "wrong_state"
    await report(payments, payment.payment_id)
    assert await listed(payments) == []
    await refund_in_the_dashboard(payments, payment.payment_id, 500)
    await report(payments, payment.payment_id)

    (again,) = await listed(payments)
    assert (again.discrepancy_id, again.amount, again.version) == (found.discrepancy_id, 3000, 3)


async def test_a_difference_that_is_gone_closes_itself(payments: Payments) -> None:
    payment = request()
    await payments.answer(payment)
    await refund_in_the_dashboard(payments, payment.payment_id, 2500)
    await report(payments, payment.payment_id)
    await refund_in_the_dashboard(payments, payment.payment_id, -2500)

    await report(payments, payment.payment_id)

    assert await listed(payments) == []
    assert (await payments.event_names())[-1] == "DiscrepancyResolved"


async def test_our_own_refund_is_no_difference_before_its_answer_nor_after(payments: Payments) -> None:
    payment = request()
    await payments.answer(payment)
    refund_id = (await payments.handle(part_of(payment, 4000), id=(id := uuid4()))) and id
    await refund_in_the_dashboard(payments, payment.payment_id, 4000)  # done there, its answer still on its way
    await report(payments, payment.payment_id)
    assert await listed(payments) == []

    await in_the_dashboard(
        payments,
        "insert into provider.refunds (key, charge_key, amount) values ($1, $2, 4000)",
        refund_id,
        payment.payment_id,
    )
    await payments.run_timers()
    assert any(isinstance(event, RefundSucceeded) for event in await payments.events())
    await report(payments, payment.payment_id)

    assert await listed(payments) == []


async def test_a_difference_right_after_a_change_is_looked_at_again(payments: Payments) -> None:
    payment = request()
    await payments.answer(payment)
    await refund_in_the_dashboard(payments, payment.payment_id, 2500)
    event = NoteProviderEvent(
        provider="simulator", event_id="1", kind="refund", payment_id=payment.payment_id, reference=""
    )
    await payments.handle(event)
    assert await listed(payments) == []

    await payments.execute("update payments.payments set modified_at = now() - interval '1 minute'")
    await payments.run_timers(hours=0.01)

    assert [one.amount for one in await listed(payments)] == [2500]


async def test_the_event_of_a_provider_that_is_not_in_use_is_ignored(payments: Payments) -> None:
    event = NoteProviderEvent(provider="stripe", event_id="1", kind="charged", payment_id=None, reference="pi_1")

    await payments.handle(event)

    assert await listed(payments) == []


async def a_day_ago(payments: Payments) -> datetime:
    """Move everything to noon of yesterday in Seoul."""
    noon = datetime.now(SEOUL).replace(hour=12, minute=0, second=0) - timedelta(days=1)
    await payments.execute("update payments.payments set created_at = $1, modified_at = $1", noon)
    await in_the_dashboard(payments, "update provider.charges set created_at = $1", noon)
    return noon


async def test_a_day_is_compared_once_and_each_difference_is_named(payments: Payments) -> None:
    right, refunded, missing, voided = request(), request(), request(), request()
    for one in (right, refunded, missing, voided):
        await payments.answer(one)
    await payments.handle(void(voided))
    await payments.wait_for(voided.payment_id, PaymentStatus.VOIDED)
    unknown = uuid4()
    await in_the_dashboard(
        payments,
        "insert into provider.charges (key, amount, captured, failing_refunds) values ($1, 700, 700, 0)",
        unknown,
    )
    await refund_in_the_dashboard(payments, refunded.payment_id, 1000)
    await in_the_dashboard(payments, "delete from provider.charges where key = $1", missing.payment_id)
    day = (await a_day_ago(payments)).date()

    comparison = await reconciliation.compare(
        payments.runtime.resource(reconciliation.ProviderClient), payments.runtime.database, day
    )

    assert (comparison.charges, comparison.captured, comparison.given_back) == (4, 27700, 10000)
    assert {one.payment_id: one.kinds for one in comparison.differences} == {
        refunded.payment_id: {DiscrepancyKind.REFUNDED_AT_PROVIDER: 1000},
        missing.payment_id: {DiscrepancyKind.MISSING_CHARGE: 9000},
        unknown: {DiscrepancyKind.UNKNOWN_CHARGE: 700},
    }


async def test_the_daily_timer_sends_each_difference_to_be_looked_at_and_then_rests(payments: Payments) -> None:
    payment = request()
    await payments.answer(payment)
    await refund_in_the_dashboard(payments, payment.payment_id, 1000)
    noon = await a_day_ago(payments)
    await payments.execute("delete from payments.outbox")
    if datetime.now(UTC).astimezone(SEOUL) < noon.replace(hour=2) + timedelta(days=1):
        await payments.execute("update payments.payments set created_at = created_at - interval '1 day'")
        await in_the_dashboard(payments, "update provider.charges set created_at = created_at - interval '1 day'")

    await reconciliation.reconcile(payments.runtime)
    commands = [event for event in await payments.events() if isinstance(event, NoteProviderEvent)]
    days = await payments.rows("select * from payments.reconciliations order by day")
    await reconciliation.reconcile(payments.runtime)

    assert [command.payment_id for command in commands] == [payment.payment_id]
    assert (len(days), sum(day["differences"] for day in days), sum(day["charges"] for day in days)) == (7, 1, 1)
    assert days == await payments.rows("select * from payments.reconciliations order by day")
    await payments.handle(commands[0])
    assert [one.kind for one in await listed(payments)] == [DiscrepancyKind.REFUNDED_AT_PROVIDER]
