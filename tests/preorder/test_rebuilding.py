"""A rebuild of my reservations from the journal gives the same rows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import pytest

from contracts.base import Caller
from tests.conftest import MakeSettings
from tests.payments.conftest import request
from tests.preorder.conftest import system_with
from tests.preorder.helpers import (
    MY_RESERVATIONS,
    cancel,
    known_product,
    reserve,
    view_of,
    wait_for_view,
    wait_until_cancelled,
)
from tests.support.system import System
from tests.support.view_databases import rebuild_view, rows_of


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    async with system_with(make_settings, "journal") as running:
        yield running


async def test_a_rebuild_gives_the_same_rows(system: System, kim: Caller, lee: Caller) -> None:
    cancelled = await system.done(reserve(await known_product(system), kim))
    await system.done(cancel(cancelled, kim, "no time"))
    await wait_until_cancelled(system, cancelled)
    await system.refused(reserve(await known_product(system), kim, "tok_declined"))
    kept = await system.done(reserve(await known_product(system), lee))
    await wait_for_view(system, kept, receipt={"status": "ISSUED"})
    other_payment = request("tok_declined")
    await system.refused(other_payment)
    await system.wait_until_idle()
    before = await rows_of(system, MY_RESERVATIONS)

    applied = await rebuild_view(system, MY_RESERVATIONS)

    await system.wait_until_idle()
    after = await rows_of(system, MY_RESERVATIONS)
    assert after.keys() == before.keys() == {"reservations", "products", "payments", "refunds", "receipts", "timeline"}
    for name, rows in before.items():
        assert after[name] == rows, name
    assert applied >= len(before["timeline"])
    assert other_payment.payment_id not in {row["payment_id"] for row in after["payments"]}
    assert isinstance((await view_of(system, kept))["receipt"]["expected_delivery"], str)
    assert any(isinstance(row["expected_delivery"], date) for row in after["receipts"])
