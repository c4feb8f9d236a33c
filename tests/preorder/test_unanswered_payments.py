"""A provider that does not answer, or fails: no reservation is made, and in the end no money is kept."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import pytest

from contracts.base import Caller
from ops.settings import SystemSettings
from tests.preorder.helpers import (
    PRICE,
    RESERVATIONS,
    cancel,
    known_product,
    net_reservation_charge,
    receipts_of,
    reservation_events,
    reserve,
    taken_quota,
    wait_for_reservation,
    wait_for_view,
)
from tests.support.failpoints import paused, until_reached
from tests.support.payments import wait_for_void
from tests.support.system import System


@pytest.mark.parametrize("token", ["tok_slow", "tok_error"])
async def test_a_provider_that_fails_or_does_not_answer_cancels_the_reservation_and_frees_its_place(
    system: System, kim: Caller, lee: Caller, token: str
) -> None:
    product_id = await known_product(system, quota=1)

    refusal = await system.refused(reserve(product_id, kim, token))
    next_one = await system.done(reserve(product_id, lee))

    assert (refusal["code"], refusal["current_status"]) == ("payment_unavailable", "CANCELLED")
    assert next_one["status"] == "CONFIRMED"
    seen = await wait_for_view(system, refusal, status="CANCELLED", reason="payment_unavailable")
    assert seen["receipt"] is None
    assert await reservation_events(system, refusal) == ["reservation_started", "reservation_cancelled"]
    assert await receipts_of(system, kim) == []


def test_the_time_for_a_payment_is_620_ms() -> None:
    assert SystemSettings().preorder_payment_ms == 620


async def test_a_reservation_is_answered_within_620_ms_and_leaves_no_charge(system: System, kim: Caller) -> None:
    product_id = await known_product(system, quota=1)
    await system.stop(RESERVATIONS)
    await system.start(RESERVATIONS, settings=system.settings.model_copy(update={"preorder_payment_ms": 620}))
    assert (await system.outcome(reserve(uuid4(), kim)))[0] == "not_found"
    started = time.monotonic()

    refusal = await system.refused(reserve(product_id, kim, "tok_slow"))
    took = time.monotonic() - started

    await system.stop(RESERVATIONS)
    await system.start(RESERVATIONS)
    assert (refusal["code"], took < 1.12) == ("payment_unavailable", True)
    voided = await wait_for_view(system, refusal, payment={"status": "VOIDED"})
    await wait_for_void(system, voided["payment_id"], PRICE)


async def test_an_approval_whose_answer_is_lost_is_voided(system: System, kim: Caller, lee: Caller) -> None:
    product_id = await known_product(system, quota=1)
    await system.wait_until_idle()

    async with paused("payments", "committed"):
        refusal = await system.refused(reserve(product_id, kim))

    assert refusal["code"] == "payment_unavailable"
    assert (await system.done(reserve(product_id, lee)))["status"] == "CONFIRMED"
    seen = await wait_for_view(system, refusal, status="CANCELLED", payment={"status": "VOIDED"})
    assert "PaymentApproved" in [line["what"] for line in seen["timeline"]]
    assert await net_reservation_charge(system, refusal) == 0
    assert await receipts_of(system, kim) == []


async def test_repeating_a_failed_request_changes_nothing(system: System, kim: Caller) -> None:
    command, request_id = reserve(await known_product(system), kim, "tok_error"), uuid4()

    first = await system.outcome(command, id=request_id)
    second = await system.outcome(command, id=request_id)

    assert first == second
    assert first[0] == "payment_unavailable"


async def test_cancelling_a_failed_reservation_changes_nothing(system: System, kim: Caller) -> None:
    refusal = await system.refused(reserve(await known_product(system), kim, "tok_error"))

    answer = await system.done(cancel(refusal, kim, "never mind"))

    assert (answer["status"], answer["reason"]) == ("CANCELLED", "payment_unavailable")


async def test_a_new_try_is_another_payment(system: System, kim: Caller) -> None:
    product_id = await known_product(system, quota=1)
    refusal = await system.refused(reserve(product_id, kim, "tok_error"))

    reservation = await system.done(reserve(product_id, kim))

    assert reservation["reservation_id"] != refusal["reservation_id"]
    assert (await net_reservation_charge(system, reservation), await net_reservation_charge(system, refusal)) == (
        PRICE,
        0,
    )


async def test_many_unanswered_payments_at_once_free_every_place(system: System) -> None:
    product_id = await known_product(system, quota=10)

    outcomes = await system.outcomes(reserve(product_id, token="tok_slow") for _ in range(10))

    assert {code for code, _ in outcomes} <= {"payment_unavailable", "unavailable"}
    assert await taken_quota(system, product_id) == 0


async def test_payments_killed_during_a_charge_leaves_no_reservation_and_no_money(system: System, kim: Caller) -> None:
    product_id = await known_product(system, quota=1)
    async with until_reached("payments", "started"):
        waiting = asyncio.create_task(system.outcome(reserve(product_id, kim, "tok_slow")))

    await system.kill("payments")
    code, refusal = await waiting
    free = await taken_quota(system, product_id) == 0
    await system.start("payments")

    assert (code, free) == ("payment_unavailable", True)
    await wait_for_view(system, refusal, status="CANCELLED", reason="payment_unavailable")


async def test_reservations_killed_while_it_waits_ends_the_reservation_by_itself(system: System, kim: Caller) -> None:
    product_id, request_id = await known_product(system, quota=1), uuid4()
    async with until_reached("payments", "started"):
        waiting = asyncio.create_task(system.request(reserve(product_id, kim, "tok_slow"), id=request_id, within=2.0))

    await system.kill(RESERVATIONS)
    await system.start(RESERVATIONS)

    await wait_for_view(
        system, request_id, status="CANCELLED", reason="payment_unavailable", payment={"status": "VOIDED"}
    )
    await waiting
    assert await taken_quota(system, product_id) == 0
    await wait_for_reservation(system, request_id, payment={"status": "VOIDED"})
