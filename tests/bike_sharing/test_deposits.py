"""Deposits: a fee is taken once, the oldest debt is paid first, and a payment without an answer leaves no charge."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from uuid import UUID, uuid4, uuid5

import asyncpg
import pytest

from contracts.base import Caller
from contracts.bike_sharing.billing import ShowBill
from contracts.bike_sharing.deposits import (
    CreditDeposit,
    ListDeposits,
    ListEntries,
    ListTopUps,
    ShowDeposit,
    ShowTopUp,
    TakeFee,
    TopUpStatus,
)
from tests.bike_sharing.helpers import (
    DEPOSITS,
    account_id,
    bill_id_of,
    credit,
    deposit_of,
    done_in_the_end,
    known_bike,
    ledger_of,
    return_bike,
    returned_ride,
    set_duration,
    start_ride,
    top_up,
    wait_for_bill,
    wait_for_deposit,
)
from tests.support.payments import net_charge
from tests.support.system import STAFF, Json, System

NOW = datetime.now(UTC)


def fee(member: Caller, amount: int, *, minutes_ago: float = 0, bill_id: UUID | None = None) -> TakeFee:
    ended_at = NOW - timedelta(minutes=minutes_ago)
    id = bill_id or uuid4()
    return TakeFee(bill_id=id, ride_id=uuid4(), member_id=member.member_id, amount=amount, ended_at=ended_at)


async def test_a_top_up_is_paid_and_in_the_ledger(system: System, kim: Caller) -> None:
    before = await deposit_of(system, kim)

    done = await system.done(top_up(kim, 10_000))

    assert before == {"member_id": kim.member_id, "balance": 0, "debt": 0}
    assert (done["status"], done["balance"], done["debt"]) == ("COMPLETED", 10_000, 0)
    assert done["payment"] == {
        "payment_id": str(uuid5(UUID(done["top_up_id"]), "payment")),
        "status": "APPROVED",
        "amount": 10_000,
    }
    assert await ledger_of(system, kim) == [("TOP_UP", 10_000)]
    assert await system.done(ShowTopUp(top_up_id=done["top_up_id"], caller=kim)) == done


async def test_a_declined_card_leaves_a_top_up_that_is_rejected(system: System, kim: Caller) -> None:
    refusal = await system.refused(top_up(kim, token="tok_declined"))

    assert (refusal["code"], refusal["reason"]) == ("payment_declined", "insufficient_funds")
    shown = await system.done(ShowTopUp(top_up_id=refusal["top_up_id"], caller=kim))
    assert (shown["status"], shown["payment"]["status"], shown["balance"]) == ("REJECTED", "DECLINED", None)
    assert await deposit_of(system, kim) == {"member_id": kim.member_id, "balance": 0, "debt": 0}


async def test_a_payment_without_an_answer_cancels_the_top_up_and_leaves_no_charge(system: System, kim: Caller) -> None:
    request_id = uuid4()

    code, refusal = await system.outcome(top_up(kim, token="tok_slow"), id=request_id)
    again = await system.outcome(top_up(kim, token="tok_slow"), id=request_id)

    assert code == "payment_unavailable"
    assert again == (code, refusal)
    cancelled = await system.done(ShowTopUp(top_up_id=request_id, caller=kim))
    assert (cancelled["status"], cancelled["reason"]) == ("CANCELLED", "payment_unavailable")

    await system.wait_for(ShowTopUp(top_up_id=request_id, caller=kim), 20, payment={"status": "VOIDED"})
    assert await net_charge(system, uuid5(request_id, "payment")) == 0
    assert (await ledger_of(system, kim), (await deposit_of(system, kim))["balance"]) == ([], 0)
    assert (await system.done(top_up(kim, 1000)))["balance"] == 1000


async def test_fifty_posts_of_one_top_up_at_once_are_one_top_up(system: System, kim: Caller) -> None:
    request_id = uuid4()

    answers = await asyncio.gather(*(system.outcome(top_up(kim, 5000), id=request_id) for _ in range(50)))

    assert all(answer == answers[0] for answer in answers)
    assert await ledger_of(system, kim) == [("TOP_UP", 5000)]


async def test_top_ups_at_once_are_all_counted(system: System, kim: Caller) -> None:
    amounts = [1000 + number for number in range(10)]

    outcomes = await system.outcomes(top_up(kim, amount) for amount in amounts)

    assert [code for code, _ in outcomes] == ["done"] * 10
    assert (await deposit_of(system, kim))["balance"] == sum(amounts)
    await balances_add_up(system, kim)


async def test_a_fee_command_published_many_times_is_taken_once(system: System, kim: Caller) -> None:
    await credit(system, kim, 5000)
    ride = await returned_ride(system, kim, 3)
    bill = await wait_for_bill(system, ride, status="CLOSED")
    again = fee(kim, 300, bill_id=UUID(bill["bill_id"]))

    await system.publish(*[again] * 20)
    await system.wait_until_idle()

    assert await ledger_of(system, kim) == [("CREDIT", 5000), ("FEE", -300)]
    assert (await wait_for_bill(system, ride, status="CLOSED"))["version"] == bill["version"]


async def test_debts_are_paid_oldest_first_and_in_parts(system: System, kim: Caller) -> None:
    """The second ride starts before the debt of the first is known; either fee may be taken first."""
    await credit(system, kim, 2_000)
    await system.stop(DEPOSITS)
    first = await _ride_without_deposits(system, kim, 35)
    second = await _ride_without_deposits(system, kim, 30)
    await system.start(DEPOSITS)
    older, newer = [(await wait_for_bill(system, ride, status="OWED"))["owed"] for ride in (first, second)]
    await wait_for_deposit(system, kim, 0, debt=4_500)

    a = await system.done(top_up(kim, 1_000))
    await wait_for_bill(system, first, owed=older - 1_000)
    untouched = await system.done(ShowBill(bill_id=bill_id_of(second), caller=STAFF))
    b = await system.done(top_up(kim, older - 500))
    await wait_for_bill(system, second, owed=newer - 500)
    closed = await wait_for_bill(system, first, status="CLOSED")
    c = await system.done(CreditDeposit(member_id=kim.member_id, amount=5_000, reason="sorry", caller=STAFF))

    assert (older, newer) in ((1_500, 3_000), (3_500, 1_000))
    assert (untouched["status"], untouched["owed"], closed["paid"]) == ("OWED", newer, 3_500)
    assert [(top["balance"], top["debt"]) for top in (a, b)] == [(0, 3_500), (0, newer - 500)]
    assert (c["balance"], c["debt"]) == (5_500 - newer, 0)
    assert (await wait_for_bill(system, second, status="CLOSED"))["paid"] == 3_000
    assert await ledger_of(system, kim) == [
        ("CREDIT", 2_000),
        ("FEE", -2_000),
        ("TOP_UP", 1_000),
        ("DEBT", -1_000),
        ("TOP_UP", older - 500),
        ("DEBT", 1_000 - older),
        ("DEBT", -500),
        ("CREDIT", 5_000),
        ("DEBT", 500 - newer),
    ]
    await balances_add_up(system, kim)


async def test_fees_and_top_ups_at_once_leave_the_same_balance_in_any_order(system: System, kim: Caller) -> None:
    fees = [fee(kim, 700, minutes_ago=number) for number in range(10)]

    await asyncio.gather(
        system.publish(*fees, *fees),
        *(done_in_the_end(system, top_up(kim, amount)) for amount in [1_500, 1_000] * 4),
    )

    await wait_for_deposit(system, kim, 3_000)
    await system.wait_until_idle()
    lines = await ledger_of(system, kim)
    assert sum(amount for _, amount in lines) == 3_000
    assert sum(amount for kind, amount in lines if kind in ("FEE", "DEBT")) == -7_000
    await balances_add_up(system, kim)


async def balances_add_up(system: System, member: Caller) -> None:
    """The balance after each line of the ledger is the sum of the lines up to it."""
    page = await system.done(ListEntries(member_id=member.member_id, caller=member, limit=200))
    lines = page["items"][::-1]
    assert [line["balance_after"] for line in lines] == list(accumulate(line["amount"] for line in lines))


async def _ride_without_deposits(system: System, member: Caller, minutes: int) -> Json:
    """A ride that starts and ends while the deposit cannot be read."""
    ride = await system.done(start_ride(await known_bike(system), member))
    await set_duration(system, ride, minutes * 60 - 30)
    return await system.done(return_bike(ride, member))


@pytest.mark.parametrize(
    "line",
    [
        "insert into bike_sharing_deposits.entries (account_id, kind, amount, balance_after, bill_id)"
        " select account_id, 'FEE', -1, 0, bill_id from bike_sharing_deposits.entries where kind = 'FEE' limit 1",
        "update bike_sharing_deposits.accounts set balance = -1",
        "update bike_sharing_deposits.accounts set debt = 1 where balance > 0",
        "update bike_sharing_deposits.fees set owed = owed + 1",
        "insert into bike_sharing_deposits.entries (account_id, kind, amount, balance_after, top_up_id)"
        " select account_id, 'TOP_UP', 1, 1, top_up_id from bike_sharing_deposits.entries where kind = 'TOP_UP'",
    ],
)
async def test_constraints_of_the_database_keep_the_ledger_consistent(system: System, kim: Caller, line: str) -> None:
    await system.done(top_up(kim, 5000))
    await wait_for_bill(system, await returned_ride(system, kim, 1), status="CLOSED")

    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await system.rows(DEPOSITS, line)


async def test_members_see_their_own_deposits_and_staff_see_all(system: System, kim: Caller, lee: Caller) -> None:
    mine = await system.done(top_up(kim, 1000))

    assert (await system.refused(ShowTopUp(top_up_id=mine["top_up_id"], caller=lee)))["code"] == "not_found"
    assert (await system.refused(ListEntries(member_id=kim.member_id, caller=lee)))["code"] == "not_found"
    assert (await system.refused(ShowDeposit(member_id="nobody", caller=STAFF)))["code"] == "not_found"
    assert (await system.done(ShowDeposit(member_id=kim.member_id, caller=STAFF)))["balance"] == 1000
    listed = await system.done(ListTopUps(member_id=kim.member_id, status=TopUpStatus.COMPLETED))
    assert [item["top_up_id"] for item in listed["items"]] == [mine["top_up_id"]]
    accounts = await system.done(ListDeposits(limit=200))
    assert str(account_id(kim)) in [account["account_id"] for account in accounts["items"]]


async def test_pages_of_the_ledger_neither_skip_nor_repeat(system: System, kim: Caller) -> None:
    for amount in range(1, 6):
        await credit(system, kim, amount)

    entries = await system.items(ListEntries(member_id=kim.member_id, limit=2, caller=kim))

    assert [entry["amount"] for entry in entries] == [5, 4, 3, 2, 1]


async def test_a_top_up_whose_answer_is_forgotten_is_answered_as_it_is(system: System, kim: Caller) -> None:
    command = top_up(kim, 3_000)

    first, again = await system.again_with_an_old_key(DEPOSITS, command)

    assert again == first
