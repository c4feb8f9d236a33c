"""Three days to transfer: a reminder, an end by itself, and a way back."""

from __future__ import annotations

import asyncio

import pytest

from contracts.base import Caller
from contracts.transfers import ListTransfers
from tests.shop.selling import (
    ORDERS,
    Thing,
    cancel,
    confirm,
    expired,
    fire,
    order_of,
    ordered,
    product,
    revive,
    settled,
    stock_of,
    told_of,
    transfer_of,
    until,
)
from tests.support.town import Town

REMIND, EXPIRE = "shop.orders.remind_buyer", "shop.orders.expire_order"


async def timers_of(town: Town, order: Thing) -> dict[str, float]:
    """The hours from the beginning of the order's round to each of its timers."""
    rows = await town.rows(
        ORDERS,
        """select i.topic, extract(epoch from i.due_at - o.transfer_deadline) / 3600 + $2 as hours
           from shop_orders.inbox i join shop_orders.orders o on o.order_id::text = i.body::json ->> 'order_id'
             and o.round = (i.body::json ->> 'round')::int
           where i.state = 'waiting' and o.order_id = $1 and i.topic like 'shop.orders.%'""",
        order["order_id"],
        town.settings.shop_transfer_hours,
    )
    return {row["topic"]: float(row["hours"]) for row in rows}


async def test_a_reminder_at_three_quarters_and_an_end_at_the_deadline(town: Town) -> None:
    order = await ordered(town, await product(town))

    assert await timers_of(town, order) == {REMIND: 54, EXPIRE: 72}


async def test_the_buyer_is_reminded_once_and_the_order_goes_on(town: Town) -> None:
    order = await ordered(town, await product(town))

    await fire(town, order, REMIND)

    async def reminded() -> None:
        await until(town, order, status="AWAITING_PAYMENT", version=order["version"] + 1)

    await reminded()
    assert (await order_of(town, order))["reminded_at"] is not None
    assert (await town.done(confirm(order)))["status"] == "PAYMENT_CONFIRMED"
    assert (await told_of(town, order)).count("buyer_reminded") == 1


async def test_an_order_that_nobody_pays_for_ends_by_itself(town: Town) -> None:
    order = await ordered(town, await product(town))

    cancelled = await expired(town, order)

    assert cancelled["reason"] == "deadline_passed"
    await until(town, order, transfer={"status": "TRANSFER_CANCELLED", "refund_owed": False})
    await town.wait_until_idle()
    assert (await told_of(town, order))[-1] == "order_cancelled"


async def test_timers_leave_alone_what_was_paid_or_cancelled_before(town: Town, kim: Caller) -> None:
    product_id = await product(town)
    paid, cancelled = await ordered(town, product_id, 1, kim), await ordered(town, product_id, 1, kim)
    await town.done(confirm(paid))
    await town.done(cancel(cancelled, kim, "no need"))
    await until(town, paid, status="DELIVERING")
    await town.wait_until_idle()
    before = [await order_of(town, order) for order in (paid, cancelled)]

    for order in (paid, cancelled):
        await fire(town, order, REMIND)
        await fire(town, order, EXPIRE)
    await town.wait_until_idle()

    assert [await order_of(town, order) for order in (paid, cancelled)] == before


async def test_money_that_comes_after_the_deadline_is_owed_back_and_the_answer_names_the_revival(town: Town) -> None:
    product_id = await product(town)
    order = await ordered(town, product_id)
    await expired(town, order)

    refusals = [await town.refused(confirm(order)) for _ in range(2)]
    await town.wait_until_idle()

    assert [refusal["code"] for refusal in refusals] == ["deadline_passed"] * 2
    assert refusals[0]["allowed_actions"] == ["revival"]
    assert (await order_of(town, order))["refund_owed"] is True
    owed = (await town.done(ListTransfers(refund_owed=True, limit=200)))["items"]
    assert order["order_id"] in [one["order_id"] for one in owed]
    assert (await told_of(town, order)).count("late_transfer_noted") == 1
    assert await stock_of(town, product_id) == 10


@pytest.mark.parametrize("money", ["came too late", "did not come"])
async def test_a_revived_order_has_a_new_deadline_and_a_new_round(town: Town, money: str) -> None:
    order = await ordered(town, await product(town))
    cancelled = await expired(town, order)
    if money == "came too late":
        await town.refused(confirm(order))

    revived = await town.done(revive(order))
    again = await town.done(revive(order))
    await town.wait_until_idle()

    assert (revived["status"], revived["round"], revived["reason"]) == ("AWAITING_PAYMENT", 2, None)
    assert revived["transfer"]["deadline"] > cancelled["transfer"]["deadline"]
    assert again["version"] == revived["version"]
    assert await timers_of(town, order) == {REMIND: 54, EXPIRE: 72}
    transfer = await transfer_of(town, order)
    assert transfer is not None
    assert (transfer["status"], transfer["round"], transfer["refund_owed"]) == ("AWAITING_TRANSFER", 2, False)
    assert (await town.done(confirm(order)))["status"] == "PAYMENT_CONFIRMED"


async def test_money_of_an_earlier_round_is_owed_back_when_the_revived_order_is_cancelled(
    town: Town, kim: Caller
) -> None:
    order = await ordered(town, await product(town), 1, kim)
    await expired(town, order)
    await town.refused(confirm(order))
    await town.done(revive(order))

    cancelled = await town.done(cancel(order, kim))

    assert cancelled["refund_owed"] is True
    await until(town, order, transfer={"status": "TRANSFER_CANCELLED", "refund_owed": True})


async def test_the_timers_of_an_earlier_round_do_not_end_a_later_one(town: Town) -> None:
    order = await ordered(town, await product(town))
    await town.rows(
        ORDERS,
        """update shop_orders.inbox set due_at = now() + interval '1 hour' where topic = $1
           and body::json ->> 'order_id' = $2""",
        REMIND,
        order["order_id"],
    )
    await expired(town, order)
    revived = await town.done(revive(order))

    await town.rows(
        ORDERS,
        """update shop_orders.inbox set due_at = now() where state = 'waiting'
           and body::json ->> 'order_id' = $1 and body::json ->> 'round' = '1'""",
        order["order_id"],
    )
    await town.wait_until_idle()

    assert (await order_of(town, order))["version"] == revived["version"]


async def test_only_what_the_deadline_or_the_stock_has_cancelled_can_be_revived(town: Town, kim: Caller) -> None:
    awaiting = await ordered(town, await product(town), 1, kim)
    cancelled = await ordered(town, await product(town), 1, kim)
    await town.done(cancel(cancelled, kim, "deadline_passed"))

    refusals = [await town.refused(revive(order)) for order in (awaiting, cancelled)]

    assert [(one["code"], one["current_status"]) for one in refusals] == [
        ("wrong_state", "AWAITING_PAYMENT"),
        ("wrong_state", "ORDER_CANCELLED"),
    ]


async def test_of_the_deadline_and_a_confirmation_in_the_same_instant_exactly_one_wins(town: Town) -> None:
    product_id = await product(town, stock=100)
    orders = [await ordered(town, product_id) for _ in range(8)]

    async def rivals(order: Thing) -> str:
        _, (code, _) = await asyncio.gather(fire(town, order, EXPIRE), settled(town, confirm(order)))
        return code

    codes = await asyncio.gather(*(rivals(order) for order in orders))
    await town.wait_until_idle()

    assert set(codes) <= {"done", "deadline_passed"}
    for order, code in zip(orders, codes, strict=True):
        await until(town, order, status="DELIVERING" if code == "done" else "ORDER_CANCELLED")
    assert await stock_of(town, product_id) == 100 - codes.count("done")
