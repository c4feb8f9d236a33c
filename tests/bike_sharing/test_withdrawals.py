"""Withdrawals: taken from the balance at once, refunded to the cards of the latest top-ups, the rest paid by hand."""

from __future__ import annotations

from uuid import uuid4, uuid5

from contracts.base import Caller
from contracts.bike_sharing.deposits import (
    ListWithdrawals,
    PayOutWithdrawal,
    ShowWithdrawal,
    WithdrawalStatus,
    WithdrawDeposit,
)
from contracts.payments import RefundAmount
from tests.bike_sharing.helpers import (
    DEPOSITS,
    credit,
    deposit_of,
    ledger_of,
    return_bike,
    started_ride,
    top_up,
    wait_for_known_balance,
)
from tests.support.payments import net_charge, refund_by_hand
from tests.support.system import STAFF, Json, System


def withdraw(member: Caller, amount: int) -> WithdrawDeposit:
    return WithdrawDeposit(amount=amount, caller=member)


def pay_out(withdrawal: Json, reference: str = "KB 0412") -> PayOutWithdrawal:
    return PayOutWithdrawal(withdrawal_id=withdrawal["withdrawal_id"], reference=reference, caller=STAFF)


async def wait_for_withdrawal(system: System, withdrawal: Json, **expected: object) -> Json:
    query = ShowWithdrawal(withdrawal_id=withdrawal["withdrawal_id"], caller=STAFF)
    return await system.wait_for(query, **expected)


async def kept(system: System, done: Json) -> int:
    """What the provider keeps of a top-up."""
    return await net_charge(system, done["payment"]["payment_id"])


async def test_a_withdrawal_goes_back_to_the_cards_of_the_latest_top_ups(system: System, kim: Caller) -> None:
    tops = [await system.done(top_up(kim, amount)) for amount in (10_000, 5_000, 3_000)]

    started = await system.done(withdraw(kim, 7_000))
    ended = await wait_for_withdrawal(system, started, status="COMPLETED", refunded=7_000, by_hand=0)

    assert (started["status"], started["refunded"], started["member_id"]) == ("PENDING", 0, kim.member_id)
    assert (await deposit_of(system, kim))["balance"] == 11_000
    assert (await ledger_of(system, kim))[-1] == ("WITHDRAWAL", -7_000)
    assert [await kept(system, done) for done in tops] == [10_000, 1_000, 0]
    names = await system.event_names(DEPOSITS, withdrawal_id=ended["withdrawal_id"])
    assert names == ["withdrawal_started", "withdrawal_progressed", "withdrawal_completed"]


async def test_the_next_withdrawal_takes_what_is_left_of_each_top_up(system: System, kim: Caller) -> None:
    tops = [await system.done(top_up(kim, amount)) for amount in (4_000, 4_000)]

    for amount in (3_000, 3_000, 2_000):
        await system.done(withdraw(kim, amount))
    await system.wait_until_idle()

    assert [await kept(system, done) for done in tops] == [0, 0]
    assert (await deposit_of(system, kim))["balance"] == 0


async def test_withdrawals_at_once_never_take_more_than_the_balance(system: System, kim: Caller) -> None:
    done = await system.done(top_up(kim, 10_000))

    outcomes = await system.outcomes(withdraw(kim, 4_000) for _ in range(6))
    await system.wait_until_idle()

    assert sorted(kind for kind, _ in outcomes) == ["balance_too_low"] * 4 + ["done"] * 2
    assert (await kept(system, done), (await deposit_of(system, kim))["balance"]) == (2_000, 2_000)


async def test_what_no_card_can_take_is_paid_by_hand(system: System, kim: Caller) -> None:
    await system.done(top_up(kim, 3_000))
    await credit(system, kim, 5_000)
    started = await system.done(withdraw(kim, 8_000))
    before = await wait_for_withdrawal(system, started, refunded=3_000)

    paid = await system.done(pay_out(started))
    again = await system.done(pay_out(started, "another"))

    assert (before["status"], before["by_hand"], before["paid_out"]) == ("PENDING", 5_000, 0)
    assert (paid["status"], paid["paid_out"], paid["reference"], paid["paid_out_by"]) == (
        "COMPLETED",
        5_000,
        "KB 0412",
        STAFF.member_id,
    )
    assert again == paid


async def test_a_withdrawal_that_cards_take_is_not_paid_by_hand(system: System, kim: Caller) -> None:
    await system.done(top_up(kim, 3_000))
    started = await system.done(withdraw(kim, 3_000))

    refusal = await system.refused(pay_out(started))

    assert refusal["code"] == "wrong_state"


async def test_what_a_card_refuses_is_left_to_be_paid_by_hand(system: System, kim: Caller, lee: Caller) -> None:
    mine, other = await system.done(top_up(kim, 10_000)), await system.done(top_up(lee, 3_000))
    message_id = uuid4()
    refund_id = uuid5(message_id, f"refund {mine['top_up_id']}")
    payment_id = other["payment"]["payment_id"]
    await system.publish(RefundAmount(payment_id=payment_id, refund_id=refund_id, amount=10_000, reason="too much"))
    await system.wait_until_idle()

    started = await system.done(withdraw(kim, 10_000), id=message_id)
    refused = await wait_for_withdrawal(system, started, by_hand=10_000)

    assert (started["by_hand"], refused["status"], refused["refunded"]) == (0, "PENDING", 0)
    assert (await system.done(pay_out(started)))["status"] == "COMPLETED"


async def test_nobody_withdraws_during_a_ride(system: System, kim: Caller) -> None:
    await system.done(top_up(kim, 10_000))
    await wait_for_known_balance(system, kim, 10_000)
    ride = await started_ride(system, kim)

    refusal = await system.refused(withdraw(kim, 1_000))
    await system.done(return_bike(ride, kim))
    await system.wait_until_idle()

    assert refusal == {"code": "ride_open"}
    assert (await system.done(withdraw(kim, 1_000)))["status"] == "PENDING"


async def test_nothing_is_withdrawn_while_rides_does_not_reply(system: System, kim: Caller) -> None:
    await system.done(top_up(kim, 10_000))
    await system.stop_until_unavailable("bike_sharing.rides")

    kind, _ = await system.outcome(withdraw(kim, 1_000), within=0.1)
    await system.start_stopped("bike_sharing.rides")

    assert kind == "unavailable"
    assert (await deposit_of(system, kim))["balance"] == 10_000


async def test_a_top_up_is_refunded_by_a_withdrawal_only(system: System, kim: Caller) -> None:
    done = await system.done(top_up(kim, 10_000))

    refusal = await system.refused(refund_by_hand(done["payment"], 10_000))

    assert refusal == {
        "code": "refund_through_business",
        "business": DEPOSITS,
        "object_id": done["top_up_id"],
        "href": "/v1/bike-sharing/deposits/withdrawals",
    }
    assert (await deposit_of(system, kim))["balance"] == 10_000


async def test_a_member_sees_their_own_withdrawals(system: System, kim: Caller, lee: Caller) -> None:
    await system.done(top_up(kim, 3_000))
    started = await system.done(withdraw(kim, 3_000))
    await wait_for_withdrawal(system, started, status="COMPLETED")

    found = await system.items(ListWithdrawals(member_id=kim.member_id, status=WithdrawalStatus.COMPLETED))
    foreign = await system.refused(ShowWithdrawal(withdrawal_id=started["withdrawal_id"], caller=lee))

    assert [item["withdrawal_id"] for item in found] == [started["withdrawal_id"]]
    assert foreign["code"] == "not_found"


async def test_a_withdrawal_whose_answer_is_forgotten_is_answered_as_it_is(system: System, kim: Caller) -> None:
    await system.done(top_up(kim, 3_000))

    first, again = await system.again_with_an_old_key(DEPOSITS, withdraw(kim, 3_000))

    assert again["withdrawal_id"] == first["withdrawal_id"]
