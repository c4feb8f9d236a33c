"""A transfer follows the newest version of its order, in whatever order commands come and however often."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.shop.states import OrderStatus
from contracts.transfers import (
    AwaitTransfer,
    CancelTransfer,
    ConfirmTransfer,
    ListTransfers,
    TransferCommand,
)
from tests.conftest import MakeSettings
from tests.support.system import System, eventually

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KINDS: dict[str, tuple[type[TransferCommand], OrderStatus, str]] = {
    "await": (AwaitTransfer, OrderStatus.ORDER_PLACED, "AWAITING_TRANSFER"),
    "confirm": (ConfirmTransfer, OrderStatus.PAYMENT_CONFIRMED, "TRANSFER_CONFIRMED"),
    "cancel": (CancelTransfer, OrderStatus.ORDER_CANCELLED, "TRANSFER_CANCELLED"),
}


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """Payments alone: transfers follow commands, and need no other context."""
    running = await System(await make_settings(), "shop").open()
    await running.start("payments")
    yield running
    await running.close()


def command(kind: str, order_id: UUID, version: int, *, refund_owed: bool = False, round: int = 1) -> TransferCommand:
    make, status, _ = KINDS[kind]
    return make(
        transfer_id=order_id,
        order_id=order_id,
        order_status=status,
        order_version=version,
        round=round,
        member_id="kim",
        amount=3000,
        bank_account="110-000-123456",
        reference="YK-1",
        deadline=NOW,
        refund_owed=refund_owed,
        reason=None,
    )


def events_of(system: System, order_id: UUID) -> list[dict[str, Any]]:
    return [body for _, body in system.events if body.get("transfer_id") == str(order_id)]


async def answered(system: System, order_id: UUID, times: int) -> None:
    """Wait until there are so many events about a transfer."""

    async def are_published() -> bool:
        return len(events_of(system, order_id)) >= times

    await eventually(are_published)


async def row_of(system: System, order_id: UUID) -> Any:
    return await system.one("payments", "select * from payments.transfers where transfer_id = $1", order_id)


async def test_the_newest_command_wins_in_every_order_and_each_is_answered(system: System) -> None:
    async def publish_in(order: tuple[int, ...]) -> UUID:
        order_id = uuid4()
        commands = [
            command("await", order_id, 1),
            command("cancel", order_id, 3, refund_owed=True),
            command("await", order_id, 5, round=2),
            command("confirm", order_id, 8, round=2),
        ]
        for count, place in enumerate(order, start=1):
            await system.publish(commands[place])
            await answered(system, order_id, count)
        return order_id

    order_ids = await asyncio.gather(*(publish_in(order) for order in itertools.permutations(range(4))))
    await system.wait_until_idle()

    for order_id in order_ids:
        row = await row_of(system, order_id)
        assert (row["status"], row["round"], row["refund_owed"]) == ("TRANSFER_CONFIRMED", 2, False)
        assert (row["order_version"], row["amount"], row["member_id"]) == (8, 3000, "kim")
        versions = [event["version"] for event in events_of(system, order_id)]
        assert len(versions) >= 4  # an event may be published again
        assert set(versions) == set(range(1, row["version"] + 1))
        query = "select version, what, amount from payments.entries where subject_id = $1 order by 1"
        entries = await system.rows("payments", query, order_id)
        assert [entry["version"] for entry in entries] == list(range(1, row["version"] + 1))
        assert (entries[-1]["what"], entries[-1]["amount"]) == ("TRANSFER_CONFIRMED", 3000)


@pytest.mark.parametrize("kind", KINDS)
async def test_whichever_command_comes_first_makes_the_record_and_a_repeat_is_answered_without_a_change(
    system: System, kind: str
) -> None:
    order_id = uuid4()

    await system.publish(*[command(kind, order_id, 4, refund_owed=kind == "cancel")] * 3)

    await answered(system, order_id, 3)
    events = events_of(system, order_id)
    assert {(event["status"], event["version"], event["refund_owed"]) for event in events} == {
        (KINDS[kind][2], 1, kind == "cancel")
    }


async def test_a_message_that_is_delivered_twice_is_handled_once(system: System) -> None:
    order_id, message_id = uuid4(), uuid4()
    first, other = command("await", order_id, 1), command("cancel", order_id, 2)

    await system.publish(first, id=message_id)
    await answered(system, order_id, 1)
    await system.publish(other, id=message_id)

    await system.wait_until_idle()
    assert (await row_of(system, order_id))["status"] == "AWAITING_TRANSFER"


async def test_transfers_are_listed_by_status_and_by_what_is_owed_newest_first(system: System) -> None:
    ids = [uuid4() for _ in range(3)]
    for order_id in ids:
        await system.publish(command("cancel", order_id, 2, refund_owed=order_id is not ids[1]))
        await answered(system, order_id, 1)

    first = await system.done(ListTransfers(status="TRANSFER_CANCELLED", refund_owed=True, limit=1))
    second = await system.done(ListTransfers(refund_owed=True, limit=1, cursor=first["next_cursor"]))
    settled = await system.done(ListTransfers(refund_owed=False, limit=200))

    assert [one["transfer_id"] for one in first["items"] + second["items"]] == [str(ids[2]), str(ids[0])]
    assert str(ids[1]) in [one["transfer_id"] for one in settled["items"]]
    assert not {str(ids[0]), str(ids[2])} & {one["transfer_id"] for one in settled["items"]}
