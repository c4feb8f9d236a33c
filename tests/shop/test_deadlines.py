"""Deadlines of the transfer: a reminder, a cancellation by timer, and the revival of an order."""

from __future__ import annotations

import asyncio

import pytest

from contracts.base import Caller
from contracts.transfers import ListTransfers
from tests.shop.helpers import (
    EXPIRE,
    ORDERS,
    REMIND,
    awaiting_payment,
    cancel,
    confirm,
    expired,
    fire_timers,
    known_product,
    order_events,
    order_of,
    revive,
    settled,
    stock_of,
    transfer_of,
    wait_for_order,
)
from tests.support.system import Json, System


async def timers_of(system: System, order: Json) -> dict[str, float]:
    """The hours from the beginning of the order's round to each of its timers."""
    rows = await system.rows(
        ORDERS,
        """select i.topic, extract(epoch from i.due_at - o.transfer_deadline) / 3600 + $2 as hours
           from shop_orders.inbox i join shop_orders.orders o on o.order_id::text = i.body::json ->> 'order_id'
             and o.round = (i.body::json ->> 'round')::int
           where i.state = 'waiting' and o.order_id = $1 and i.topic like 'shop.orders.%'""",
        order["order_id"],
        system.settings.shop_transfer_hours,
    )
    return {row["topic"]: float(row["hours"]) for row in rows}


async def test_a_reminder_at_three_quarters_and_an_end_at_the_deadline(system: System) -> None:
    order = await awaiting_payment(system, await known_product(system))

    assert await timers_of(system, order) == {REMIND: 54, EXPIRE: 72}


async def test_the_buyer_is_reminded_once_and_the_order_goes_on(system: System) -> None:
    order = await awaiting_payment(system, await known_product(system))

    await fire_timers(system, order, REMIND)

    reminded = await wait_for_order(system, order, status="AWAITING_PAYMENT", version=order["version"] + 1)
    assert reminded["reminded_at"] is not None
    assert (await system.done(confirm(order)))["status"] == "PAYMENT_CONFIRMED"
    assert (await order_events(system, order)).count("buyer_reminded") == 1


async def test_an_unpaid_order_is_cancelled_at_its_deadline(system: System) -> None:
    order = await awaiting_payment(system, await known_product(system))

    cancelled = await expired(system, order)

    assert cancelled["reason"] == "deadline_passed"
    await wait_for_order(system, order, transfer={"status": "TRANSFER_CANCELLED", "refund_owed": False})
    await system.wait_until_idle()
    assert (await order_events(system, order))[-1] == "order_cancelled"


async def test_timers_do_not_change_an_order_that_was_paid_or_cancelled_before(system: System, kim: Caller) -> None:
    product_id = await known_product(system)
    paid, cancelled = (
        await awaiting_payment(system, product_id, 1, kim),
        await awaiting_payment(system, product_id, 1, kim),
    )
    await system.done(confirm(paid))
    await system.done(cancel(cancelled, kim, "no need"))
    await wait_for_order(system, paid, status="DELIVERING")
    await system.wait_until_idle()
    before = [await order_of(system, order) for order in (paid, cancelled)]

    for order in (paid, cancelled):
        await fire_timers(system, order, REMIND)
        await fire_timers(system, order, EXPIRE)
    await system.wait_until_idle()

    assert [await order_of(system, order) for order in (paid, cancelled)] == before


async def test_money_that_comes_after_the_deadline_is_owed_back_and_the_answer_names_the_revival(
    system: System,
) -> None:
    product_id = await known_product(system)
    order = await awaiting_payment(system, product_id)
    await expired(system, order)

    refusals = [await system.refused(confirm(order)) for _ in range(2)]
    await system.wait_until_idle()

    assert [refusal["code"] for refusal in refusals] == ["deadline_passed"] * 2
    assert refusals[0]["allowed_actions"] == ["revival"]
    assert (await order_of(system, order))["refund_owed"] is True
    owed = (await system.done(ListTransfers(refund_owed=True, limit=200)))["items"]
    assert order["order_id"] in [one["order_id"] for one in owed]
    assert (await order_events(system, order)).count("late_transfer_noted") == 1
    assert await stock_of(system, product_id) == 10


@pytest.mark.parametrize("money", ["late", "none"])
async def test_a_revived_order_has_a_new_deadline_and_a_new_round(system: System, money: str) -> None:
    order = await awaiting_payment(system, await known_product(system))
    cancelled = await expired(system, order)
    if money == "late":
        await system.refused(confirm(order))

    revived = await system.done(revive(order))
    again = await system.done(revive(order))
    await system.wait_until_idle()

    assert (revived["status"], revived["round"], revived["reason"]) == ("AWAITING_PAYMENT", 2, None)
    assert revived["transfer"]["deadline"] > cancelled["transfer"]["deadline"]
    assert again["version"] == revived["version"]
    assert await timers_of(system, order) == {REMIND: 54, EXPIRE: 72}
    transfer = await transfer_of(system, order)
    assert (transfer["status"], transfer["round"], transfer["refund_owed"]) == ("AWAITING_TRANSFER", 2, False)
    assert (await system.done(confirm(order)))["status"] == "PAYMENT_CONFIRMED"


async def test_money_of_an_earlier_round_is_owed_back_when_the_revived_order_is_cancelled(
    system: System, kim: Caller
) -> None:
    order = await awaiting_payment(system, await known_product(system), 1, kim)
    await expired(system, order)
    await system.refused(confirm(order))
    await system.done(revive(order))

    cancelled = await system.done(cancel(order, kim))

    assert cancelled["refund_owed"] is True
    await wait_for_order(system, order, transfer={"status": "TRANSFER_CANCELLED", "refund_owed": True})


async def test_the_timers_of_an_earlier_round_do_not_end_a_later_one(system: System) -> None:
    order = await awaiting_payment(system, await known_product(system))
    await system.rows(
        ORDERS,
        """update shop_orders.inbox set due_at = now() + interval '1 hour' where topic = $1
           and body::json ->> 'order_id' = $2""",
        REMIND,
        order["order_id"],
    )
    await expired(system, order)
    revived = await system.done(revive(order))

    await system.rows(
        ORDERS,
        """update shop_orders.inbox set due_at = now() where state = 'waiting'
           and body::json ->> 'order_id' = $1 and body::json ->> 'round' = '1'""",
        order["order_id"],
    )
    await system.wait_until_idle()

    assert (await order_of(system, order))["version"] == revived["version"]


async def test_only_what_the_deadline_or_the_stock_has_cancelled_can_be_revived(system: System, kim: Caller) -> None:
    awaiting = await awaiting_payment(system, await known_product(system), 1, kim)
    cancelled = await awaiting_payment(system, await known_product(system), 1, kim)
    await system.done(cancel(cancelled, kim, "deadline_passed"))

    refusals = [await system.refused(revive(order)) for order in (awaiting, cancelled)]

    assert [(one["code"], one["current_status"]) for one in refusals] == [
        ("wrong_state", "AWAITING_PAYMENT"),
        ("wrong_state", "ORDER_CANCELLED"),
    ]


async def test_of_the_deadline_and_a_confirmation_at_once_exactly_one_wins(system: System) -> None:
    product_id = await known_product(system, stock=100)
    orders = [await awaiting_payment(system, product_id) for _ in range(8)]

    async def rivals(order: Json) -> str:
        _, (code, _) = await asyncio.gather(fire_timers(system, order, EXPIRE), settled(system, confirm(order)))
        return code

    codes = await asyncio.gather(*(rivals(order) for order in orders))
    await system.wait_until_idle()

    assert set(codes) <= {"done", "deadline_passed"}
    for order, code in zip(orders, codes, strict=True):
        await wait_for_order(system, order, status="DELIVERING" if code == "done" else "ORDER_CANCELLED")
    assert await stock_of(system, product_id) == 100 - codes.count("done")
