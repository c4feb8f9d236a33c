"""My reservations is built anew from the journal, and is the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import pytest

from contracts.base import Caller
from storage.views import ViewDatabase
from tests.conftest import MakeSettings
from tests.payments.conftest import request
from tests.preorder.conftest import system_with
from tests.preorder.reserving import MINE, cancel, cancelled, entry, product, reserve, shown
from tests.support.system import System
from tests.support.view_databases import rows_of
from workers.preorder.my_reservations import my_reservations
from workers.runtime.messaging.bus import Bus
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.projections.rebuild import rebuild


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    async with system_with(make_settings, "journal") as running:
        yield running


async def test_a_rebuild_gives_the_same_rows(system: System, kim: Caller, lee: Caller) -> None:
    off = await system.done(reserve(await product(system), kim))
    await system.done(cancel(off, kim, "no time"))
    await cancelled(system, off)
    await system.refused(reserve(await product(system), kim, "tok_declined"))
    kept = await system.done(reserve(await product(system), lee))
    await shown(system, kept, receipt={"status": "ISSUED"})
    elsewhere = request("tok_declined")
    await system.refused(elsewhere)
    await system.wait_until_idle()
    before = await rows_of(system, MINE)

    applied = await _rebuild(system)

    await system.wait_until_idle()
    after = await rows_of(system, MINE)
    assert after.keys() == before.keys() == {"reservations", "products", "payments", "refunds", "receipts", "timeline"}
    for name, rows in before.items():
        assert after[name] == rows, name
    assert applied >= len(before["timeline"])
    assert elsewhere.payment_id not in {row["payment_id"] for row in after["payments"]}
    assert isinstance((await entry(system, kept))["receipt"]["expected_delivery"], str)
    assert any(isinstance(row["expected_delivery"], date) for row in after["receipts"])


async def _rebuild(system: System) -> int:
    bus = Bus(system.settings.amqp_url.get_secret_value(), "rebuild")
    rpc = RpcClient(bus, "rebuild", system.settings)
    database = ViewDatabase(my_reservations.tables, system.settings.database_of(MINE))
    database.open()
    try:
        await bus.start()
        await rpc.start()
        return await rebuild(my_reservations, database, bus, rpc)
    finally:
        await rpc.stop()
        await bus.stop()
        await database.close()
