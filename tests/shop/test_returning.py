"""Money that is owed back: the client names an account, staff send the money and record it, once."""

from __future__ import annotations

import asyncio
from typing import Any

from contracts.base import Caller
from contracts.transfers import ListTransfers, NameRefundAccount, RefundAccount, ReturnTransfer
from tests.shop.helpers import (
    awaiting_payment,
    cancel,
    confirm,
    expired,
    known_product,
    order_events,
    revive,
    transfer_of,
    wait_for_order,
    wait_for_view,
)
from tests.support.system import STAFF, Json, System

ACCOUNT = RefundAccount(bank="국민은행", number="110-234-567890", holder="김예약")


def give_back(transfer: Json, **more: Any) -> ReturnTransfer:
    fields = {"transfer_id": transfer["transfer_id"], "amount": transfer["amount"], "reference": "B-1"} | more
    return ReturnTransfer(**fields, caller=STAFF)


async def owed(system: System, kim: Caller) -> Json:
    """An order that its buyer has cancelled, and whose money came afterwards."""
    order = await awaiting_payment(system, await known_product(system), 1, kim)
    await system.done(cancel(order, kim))
    await system.refused(confirm(order))
    await system.wait_until_idle()
    return order


async def owed_transfers(system: System) -> list[str]:
    return [one["order_id"] for one in await system.items(ListTransfers(refund_owed=True, limit=200))]


async def test_what_is_sent_back_leaves_the_worklist_and_is_shown_to_the_client(system: System, kim: Caller) -> None:
    order = await owed(system, kim)
    transfer = await transfer_of(system, order)
    await system.done(NameRefundAccount(order_id=order["order_id"], account=ACCOUNT, caller=kim))
    before = await wait_for_view(system, order, transfer={"refund_account_last4": "7890"})
    assert (before["next_action"], before["transfer"]["returned_amount"]) == ("REFUND", None)

    answer = await system.done(give_back(transfer))

    assert (answer["refund_owed"], answer["returned_by"], answer["reference"]) == (False, STAFF.member_id, "B-1")
    assert order["order_id"] not in await owed_transfers(system)
    shown = await wait_for_order(system, order, status="ORDER_CANCELLED", transfer={"refund_owed": False})
    returned = {"returned_at": answer["returned_at"], "returned_amount": transfer["amount"]}
    assert shown["transfer"] == shown["transfer"] | returned | {"refund_account_last4": "7890"}
    viewed = await wait_for_view(system, order, refund_owed=False, next_action=None, transfer=returned)
    assert viewed["transfer"]["refund_account_last4"] == "7890"
    assert "PaymentReturned" in [entry["what"] for entry in viewed["timeline"]]
    assert (await order_events(system, order))[-1] == "payment_returned"


async def test_money_is_sent_back_once(system: System, kim: Caller) -> None:
    transfer = await transfer_of(system, await owed(system, kim))

    first, *others = await asyncio.gather(*(system.done(give_back(transfer, reference=f"B-{n}")) for n in range(5)))

    assert all(other == first for other in others)
    entries = await system.rows(
        "payments",
        "select * from payments.entries where subject_id = $1 and what = 'TRANSFER_RETURNED'",
        transfer["transfer_id"],
    )
    assert len(entries) == 1


async def test_another_amount_and_money_that_is_not_owed_are_refused(system: System, kim: Caller) -> None:
    transfer = await transfer_of(system, await owed(system, kim))
    untouched = await transfer_of(system, await awaiting_payment(system, await known_product(system), 1, kim))

    wrong = await system.refused(give_back(transfer, amount=transfer["amount"] - 1))
    nothing = await system.refused(give_back(untouched))

    assert (wrong["code"], wrong["expected"]) == ("amount_mismatch", transfer["amount"])
    assert nothing["code"] == "wrong_state"
    assert (await transfer_of(system, transfer))["refund_owed"] is True


async def test_a_revived_order_waits_for_new_money_once_the_old_has_gone_back(system: System, kim: Caller) -> None:
    order = await awaiting_payment(system, await known_product(system), 1, kim)
    await expired(system, order)
    await system.refused(confirm(order))
    await wait_for_order(system, order, transfer={"refund_owed": True})
    await system.wait_until_idle()
    await system.done(give_back(await transfer_of(system, order)))
    await wait_for_order(system, order, transfer={"refund_owed": False})
    await system.done(revive(order))
    await wait_for_order(system, order, status="AWAITING_PAYMENT", round=2)

    await expired(system, order)

    await system.wait_until_idle()
    assert (await transfer_of(system, order))["refund_owed"] is False
    await system.refused(confirm(order))
    await system.wait_until_idle()
    assert (await system.done(give_back(await transfer_of(system, order), reference="B-2")))["reference"] == "B-2"


async def test_a_revival_while_the_money_is_on_its_way_back_owes_nothing(system: System, kim: Caller) -> None:
    order = await awaiting_payment(system, await known_product(system), 1, kim)
    await expired(system, order)
    await system.refused(confirm(order))
    await wait_for_order(system, order, transfer={"refund_owed": True})
    transfer = await transfer_of(system, order)

    await asyncio.gather(system.outcome(give_back(transfer)), system.done(revive(order)))
    await expired(system, order)

    await system.wait_until_idle()
    current = await transfer_of(system, order)
    assert current["refund_owed"] is (current["returned_at"] is None)


async def test_only_staff_see_the_whole_account(system: System, kim: Caller, lee: Caller) -> None:
    order = await owed(system, kim)
    name = NameRefundAccount(order_id=order["order_id"], account=ACCOUNT, caller=kim)

    answer = await system.done(name)
    stranger = await system.refused(name.model_copy(update={"caller": lee}))

    assert answer["refund_account_last4"] == "7890"
    assert ACCOUNT.number not in str(answer)
    assert stranger["code"] == "not_found"
    transfer = await transfer_of(system, order)
    assert transfer["refund_account"] == ACCOUNT.model_dump()
    await wait_for_order(system, order, transfer={"refund_account_last4": "7890"})
    assert ACCOUNT.number not in str(system.events)
