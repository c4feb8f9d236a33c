"""The money behind a business: rows of payments, and the charges of the simulated provider."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID, uuid4

from contracts.base import Caller
from contracts.payments import RefundAmount, RefundPayment
from tests.support.system import STAFF, Json, System


def refund_by_hand(thing: Json, amount: int) -> RefundPayment:
    """What staff send to refund a part of what a thing was paid with."""
    return RefundPayment(payment_id=thing["payment_id"], amount=amount, reason="scratched", caller=STAFF)


def refund_of_a_part(thing: Json, amount: int) -> RefundAmount:
    """What a business sends to refund a part of what a thing was paid with."""
    return RefundAmount(payment_id=thing["payment_id"], refund_id=uuid4(), amount=amount, reason="scratched")


async def wait_for_payment(system: System, payer: Caller, status: str) -> None:
    """Wait until a payment of this payer has a status."""
    query = "select 1 from payments.payments where payer = $1 and status = $2"
    await system.wait_for_rows("payments", query, payer.member_id, status)


async def net_charge(system: System, payment_id: object) -> int:
    """What the provider has taken for a payment and not given back, in won."""
    query = "select captured - voided - refunded as net from provider.charges where key = $1"
    return sum(row["net"] for row in await system.rows("provider", query, UUID(str(payment_id))))


async def wait_for_void(system: System, payment_id: object, amount: int) -> None:
    """Wait until the provider has charged an amount for a payment and voided all of it."""
    query = "select 1 from provider.charges where key = $1 and captured = $2 and voided = $2"
    await system.wait_for_rows("provider", query, UUID(str(payment_id)), amount)


async def charge_discrepancies(system: System, owed: Mapping[UUID, int]) -> list[str]:
    """Payments for which the provider keeps another amount than is `owed`; nothing is owed for one not in it."""
    charges = await system.rows("provider", "select key, captured - voided - refunded as net from provider.charges")
    net = {row["key"]: row["net"] for row in charges}
    return [
        f"payment {id}: the provider keeps {net.get(id, 0)}, {owed.get(id, 0)} is owed"
        for id in owed.keys() | net.keys()
        if net.get(id, 0) != owed.get(id, 0)
    ]
