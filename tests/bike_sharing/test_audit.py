"""The audit finds what is wrong in bikes, bills and ledger, and names it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

import ops.audit.runner
from ops.audit import audit
from ops.settings import SystemSettings
from tests.bike_sharing.conftest import TIMES
from tests.bike_sharing.helpers import (
    CONTEXTS,
    credit,
    discrepancies,
    returned_ride,
    started_ride,
    top_up,
    wait_for_bill,
    wait_for_deposit,
    wait_for_known_balance,
    wait_for_view,
)
from tests.conftest import MakeSettings
from tests.support import servers as support
from tests.support.servers import Servers
from tests.support.system import System, customer

A, B, D, R, V = (f"bike_sharing_{name}" for name in ("bikes", "billing", "deposits", "rides", "ride_history"))
ROUNDS = [
    [
        ("I4", f"update {D}.accounts set balance = balance + 1 where balance > 0", "and its entries are"),
        ("I4", f"update {D}.accounts set debt = debt + 1 where debt > 0", "on bills"),
        ("I4", f"update {R}.rides set fee = fee + 1 where fee > 0", "and its bill says"),
        ("I4", f"delete from {D}.entries where kind = 'TOP_UP' and amount = 5000", "were entered for it"),
        ("I3", f"update {A}.bikes set held_by = null", "does not hold bike"),
        ("I1", f"delete from {R}.inbox where state = 'waiting'", "is RIDING, and no timer would end it"),
        ("I1", f"delete from {A}.inbox where state = 'waiting'", "no step will check the hold"),
        ("I1", f"update {B}.bills set status = 'SETTLING' where status = 'CLOSED'", "no step takes its fee"),
        ("I5", f"delete from {R}.bikes", "rides does not have bike"),
        ("I5", f"update {B}.bills set fee_version = 0", "has version 0 of its fee"),
        ("I5", f"update {R}.rides set bike_released = false", "bikes has not released its bike"),
        ("I5", f"update {R}.accounts set version = 1", "rides has version 1 of account"),
        ("I7", f"delete from {V}.timeline where version = 1", "ride_history shows version"),
        ("I8", f"update {V}.bills set amount = 1", "does not have the amount of its writer"),
        ("I8", f"update {D}.top_ups set payment_status = 'VOIDED' where payment_id is not null", "payment as VOIDED"),
        ("I9", f"delete from {D}.inbox where topic like '%top_up_deposit'", "has no request in the inbox"),
    ],
    [
        (
            "I4",
            f"alter table {D}.accounts drop constraint accounts_check;"
            f" update {D}.accounts set debt = 7 where balance > 0",
            "and owes 7",
        ),
        (
            "I4",
            f"drop index {D}.entries_one_fee;"
            f" insert into {D}.entries (account_id, kind, amount, balance_after, bill_id)"
            f" select account_id, kind, amount, 0, bill_id from {D}.entries where kind = 'FEE'",
            "2 FEE entries",
        ),
        (
            "I4",
            f"drop index {D}.entries_one_payment;"
            f" insert into {D}.entries (account_id, kind, amount, balance_after, bill_id, top_up_id)"
            f" select account_id, kind, amount, 0, bill_id, top_up_id from {D}.entries where kind = 'DEBT'",
            "2 DEBT entries",
        ),
        ("I4", f"update {D}.top_ups set status = 'CANCELLED' where payment_id is not null", "won are kept of charge"),
        ("I5", "select 1", "payments has not voided"),
        ("I3", f"update {R}.rides set status = 'RETURNED' where status = 'RIDING'", "which is RETURNED"),
        ("I5", "delete from journal.events where topic like 'bike_sharing.deposits.%'", "versions of fee"),
        ("I5", f"delete from {V}.rides", "ride_history has not received ride"),
        ("I9", f"delete from {R}.inbox where topic like '%start_ride'", "has no request in the inbox"),
    ],
    [
        ("I4", f"update {D}.entries set bill_id = gen_random_uuid() where kind = 'FEE'", "which has no fee"),
        ("I4", f"update {D}.top_ups set amount = amount + 1 where amount = 5000", "won charged"),
        (
            "I1",
            f"update {R}.rides set status = 'STARTING' where status = 'RIDING'",
            "is STARTING, and no step settles it",
        ),
        ("I1", f"update {D}.top_ups set status = 'AWAITING_PAYMENT' where amount = 4000", "awaits its payment"),
        ("I5", f"delete from {B}.bills", "its bill is not there"),
        ("I8", f"update {V}.rides set fee_plan = '{{}}'", "does not have the fee_plan of its writer"),
    ],
]
"""Changes that are made together: the invariant that each breaks, the statement, and part of the line that names it."""


@dataclass(frozen=True)
class Original:
    """The stores of a system without discrepancies: rides that are paid, owed, paid off, and one that is not over."""

    settings: SystemSettings
    servers: Servers

    async def copy(self) -> SystemSettings:
        """Copy the stores; returns the settings of the copy."""
        source = self.settings.database_url.get_secret_value().rpartition("/")[2]
        url = await support.create_database(self.servers, f"copy_{uuid4().hex[:12]}", source)
        return self.settings.model_copy(update={"database_url": SecretStr(url)})


@pytest.fixture(scope="module")
async def original(make_settings: MakeSettings, servers: Servers) -> Original:
    system = await System(await make_settings(**TIMES), "bike_sharing").open()
    await system.start(*CONTEXTS)
    kim, lee, jun = customer(), customer(), customer()
    await system.outcome(top_up(kim, 5_000))
    await wait_for_known_balance(system, kim, 5_000)
    await wait_for_view(system, await returned_ride(system, kim, 2), status="RETURNED", bill={"status": "CLOSED"})
    for member, pays in ((lee, True), (jun, False)):
        await credit(system, member, 2_000)
        await wait_for_bill(system, await returned_ride(system, member, 30), status="OWED")
        if pays:
            await system.outcome(top_up(member, 4_000))
            await wait_for_deposit(system, member, 3_000)
    await started_ride(system, customer())
    assert await discrepancies(system) == []
    await system.close()
    return Original(system.settings, servers)


@pytest.mark.parametrize("number", range(len(ROUNDS)))
async def test_each_discrepancy_is_named(original: Original, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(ops.audit.runner, "RECHECK_SECONDS", 0.0)
    settings = await original.copy()
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    for _, statement, _ in ROUNDS[number]:
        await connection.execute(statement)
    await connection.close()

    found = await audit(settings)

    missing = [
        (invariant, part) for invariant, _, part in ROUNDS[number] if not any(part in line for line in found[invariant])
    ]
    assert missing == [], found
