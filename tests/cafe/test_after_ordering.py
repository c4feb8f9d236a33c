"""After ordering: accept, reject, mark ready, collect, cancel; each only from its states, and one at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from contracts.base import Caller, Message
from contracts.cafe.orders import ListOrders, OrderStatus, ShowOrder
from tests.cafe.helpers import (
    accept,
    cancel,
    collect,
    mark_ready,
    order_events,
    order_of,
    orders_of,
    place_order,
    register_item,
    reject,
)
from tests.support.system import STAFF, Json, System

MakeCommand = Callable[[Json, Caller], Message]

PATHS: dict[str, list[str]] = {
    "ORDERED": [],
    "ACCEPTED": ["accept"],
    "READY": ["accept", "ready"],
    "COLLECTED": ["accept", "ready", "collect"],
    "REJECTED": ["reject"],
    "CANCELLED": ["cancel"],
}
COMMANDS: dict[str, MakeCommand] = {
    "accept": lambda order, _: accept(order),
    "reject": lambda order, _: reject(order),
    "ready": lambda order, _: mark_ready(order),
    "collect": lambda order, _: collect(order),
    "cancel": cancel,
}
LEADS_TO = {
    "accept": "ACCEPTED",
    "reject": "REJECTED",
    "ready": "READY",
    "collect": "COLLECTED",
    "cancel": "CANCELLED",
}
ALLOWED = {
    ("ORDERED", "accept"),
    ("ORDERED", "reject"),
    ("ORDERED", "cancel"),
    ("ACCEPTED", "reject"),
    ("ACCEPTED", "ready"),
    ("READY", "collect"),
}


async def order_with(system: System, member: Caller, status: str) -> Json:
    """An order with this status."""
    order = await system.done(place_order(await system.done(register_item()), member))
    for command in PATHS[status]:
        order = await system.done(COMMANDS[command](order, member))
    assert order["status"] == status
    return order


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("status", PATHS)
async def test_each_state_leads_where_it_may(system: System, kim: Caller, status: str, command: str) -> None:
    order = await order_with(system, kim, status)

    reply = await system.request(COMMANDS[command](order, kim))

    answer: dict[str, Any] = json.loads(reply.body)
    now = await order_of(system, order)
    if (status, command) in ALLOWED:
        assert (answer["status"], answer["version"]) == (LEADS_TO[command], order["version"] + 1)
        assert now == answer
    elif LEADS_TO[command] == status:
        assert (reply.kind, answer, now) == ("done", order, order)
    else:
        assert (answer["code"], answer["current_status"], now) == ("wrong_state", status, order)
        assert isinstance(answer["allowed_actions"], list)


async def test_each_step_publishes_one_event(system: System, kim: Caller) -> None:
    order = await order_with(system, kim, "COLLECTED")
    await system.done(collect(order))

    assert await order_events(system, order) == [
        "order_placed",
        "order_accepted",
        "order_marked_ready",
        "order_collected",
    ]


async def test_rejected_and_cancelled_orders_keep_their_reasons_and_are_listed(system: System, kim: Caller) -> None:
    rejected = await system.done(reject(await order_with(system, kim, "ACCEPTED"), reason="no oat milk"))
    cancelled = await order_with(system, kim, "CANCELLED")

    assert (rejected["reason"], cancelled["reason"]) == ("no oat milk", "cancelled_by_member")
    assert [order["status"] for order in await orders_of(system, kim)] == ["CANCELLED", "REJECTED"]


async def test_of_accepting_and_cancelling_at_once_one_wins(system: System, kim: Caller) -> None:
    orders = [await order_with(system, kim, "ORDERED") for _ in range(25)]

    pairs = await asyncio.gather(
        *(asyncio.gather(system.request(accept(order)), system.request(cancel(order, kim))) for order in orders)
    )

    for order, (accepted, cancelled) in zip(orders, pairs, strict=True):
        winner = "ACCEPTED" if accepted.kind == "done" else "CANCELLED"
        assert {accepted.kind, cancelled.kind} == {"done", "refused"}
        loser = cancelled if accepted.kind == "done" else accepted
        assert json.loads(loser.body)["current_status"] == winner
        now = await order_of(system, order)
        assert (now["status"], now["version"]) == (winner, 2)
    assert [len(await order_events(system, order)) for order in orders] == [2] * len(orders)


async def test_ten_acceptances_at_once_are_one(system: System, kim: Caller) -> None:
    order = await order_with(system, kim, "ORDERED")

    answers = await asyncio.gather(*(system.done(accept(order)) for _ in range(10)))

    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["version"] == 2


# -- orders of other customers


async def test_another_customers_order_does_not_exist(system: System, kim: Caller, lee: Caller) -> None:
    order = await order_with(system, kim, "ORDERED")
    commands = [cancel(order, lee), ShowOrder(order_id=order["order_id"], caller=lee)]

    refusals = [await system.refused(command) for command in commands]

    assert refusals == [{"code": "not_found"}] * 2
    assert await order_of(system, order) == order
    assert await orders_of(system, lee) == []


@pytest.mark.parametrize("command", COMMANDS)
async def test_an_order_that_does_not_exist_is_not_found(system: System, kim: Caller, command: str) -> None:
    assert await system.refused(COMMANDS[command]({"order_id": uuid4()}, kim)) == {"code": "not_found"}


async def test_orders_are_listed_newest_first_and_by_status(system: System, kim: Caller, lee: Caller) -> None:
    mine = [await order_with(system, kim, status) for status in ("ORDERED", "READY", "ORDERED")]
    theirs = await order_with(system, lee, "READY")

    ready_ones = await system.done(ListOrders(status=OrderStatus.READY, limit=200))
    first = await system.done(ListOrders(member_id=kim.member_id, limit=2))
    rest = await system.done(ListOrders(member_id=kim.member_id, limit=2, cursor=first["next_cursor"]))

    assert [order["order_id"] for order in first["items"] + rest["items"]] == [o["order_id"] for o in mine[::-1]]
    assert rest["next_cursor"] is None
    assert {mine[1]["order_id"], theirs["order_id"]} <= {order["order_id"] for order in ready_ones["items"]}
    assert {order["status"] for order in ready_ones["items"]} == {"READY"}
    assert (await system.done(ShowOrder(order_id=theirs["order_id"], caller=STAFF)))["member_id"] == lee.member_id
