"""My reservations is built anew from the journal, and is the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import pytest

from contracts.base import Caller
from storage.views import ViewDatabase
from tests.conftest import MakeSettings
from tests.payments.conftest import request
from tests.preorder.conftest import town_with
from tests.preorder.reserving import MINE, cancel, cancelled, entry, product, reserve, shown
from tests.support.elsewhere import rows_of
from tests.support.town import Town
from workers.preorder.my_reservations import my_reservations
from workers.runtime.messaging.bus import Bus
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.projections.rebuild import rebuild


@pytest.fixture(scope="module")
async def town(make_settings: MakeSettings) -> AsyncIterator[Town]:
    async with town_with(make_settings, "journal") as running:
        yield running


async def test_a_rebuild_gives_the_same_rows(town: Town, kim: Caller, lee: Caller) -> None:
    off = await town.done(reserve(await product(town), kim))
    await town.done(cancel(off, kim, "no time"))
    await cancelled(town, off)
    await town.refused(reserve(await product(town), kim, "tok_declined"))
    kept = await town.done(reserve(await product(town), lee))
    await shown(town, kept, receipt={"status": "ISSUED"})
    elsewhere = request("tok_declined")
    await town.refused(elsewhere)
    await town.wait_until_idle()
    before = await rows_of(town, MINE)

    applied = await _rebuild(town)

    await town.wait_until_idle()
    after = await rows_of(town, MINE)
    assert after.keys() == before.keys() == {"reservations", "products", "payments", "refunds", "receipts", "timeline"}
    for name, rows in before.items():
        assert after[name] == rows, name
    assert applied >= len(before["timeline"])
    assert elsewhere.payment_id not in {row["payment_id"] for row in after["payments"]}
    assert isinstance((await entry(town, kept))["receipt"]["expected_delivery"], str)
    assert any(isinstance(row["expected_delivery"], date) for row in after["receipts"])


async def _rebuild(town: Town) -> int:
    bus = Bus(town.settings.amqp_url.get_secret_value(), "rebuild")
    rpc = RpcClient(bus, "rebuild", town.settings)
    database = ViewDatabase(my_reservations.tables, town.settings.database_of(MINE))
    database.open()
    try:
        await bus.start()
        await rpc.start()
        return await rebuild(my_reservations, database, bus, rpc)
    finally:
        await rpc.stop()
        await bus.stop()
        await database.close()
