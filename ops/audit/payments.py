"""Payments: its tables, the events that it publishes, the steps that drive it, and its answers."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from contracts.payment_discrepancies import DiscrepancyEvent
from contracts.payments import DriveRefund, DriveVoid, PaymentEvent, RefundEvent, RequestPayment
from ops.audit.invariant import Publication, SystemChecks, UnfinishedCheck, steps_naming, topics_of
from ops.audit.stores import Stores


async def answers(stores: Stores) -> list[str]:
    """Check that each kept answer names an existing payment; its id may differ from the request's."""
    rows = await stores.rows(
        """select id, answer from <payments.inbox> i
        where topic = $1 and state = 'done' and not refused and answer is not null
          and not exists (select from <payments.payments> p where p.payment_id = i.id) order by id""",
        RequestPayment.topic,
    )
    named = {row["id"]: _payment_in(row["answer"]) for row in rows}
    there = await stores.rows(
        "select payment_id from <payments.payments> where payment_id = any($1::uuid[])",
        [payment_id for payment_id in named.values() if payment_id],
    )
    known = {row["payment_id"] for row in there}
    return [
        f"payment {payment_id or id} was answered for, and is not there"
        for id, payment_id in named.items()
        if payment_id not in known
    ]


OPEN_DISCREPANCIES = """
    select kind, amount, provider, reference, payment_id from <payments.discrepancies> where status = 'OPEN'
    order by found_at, discrepancy_id"""


async def provider_books(stores: Stores) -> list[str]:
    """Report what the webhooks and the daily comparison found in the provider's books, and nobody has dealt with."""
    return [
        f"payment {row['payment_id'] or row['reference']}: {row['kind']} of {row['amount']} won at {row['provider']}"
        for row in await stores.rows(OPEN_DISCREPANCIES)
    ]


def _payment_in(answer: str) -> UUID | None:
    fields: dict[str, Any] = json.loads(answer)
    return UUID(fields["payment_id"]) if "payment_id" in fields else None


CHECKS = SystemChecks(
    tables={
        "payments": ("payments", "refunds", "transfers", "entries", "discrepancies", "inbox"),
        "provider": ("charges", "refunds"),
    },
    writers={"payments": "payments"},
    publications=[
        Publication("payment", "payments.payments", "payment_id", topics_of(PaymentEvent)),
        Publication("discrepancy", "payments.discrepancies", "discrepancy_id", topics_of(DiscrepancyEvent)),
        Publication("refund", "payments.refunds", "refund_id", topics_of(RefundEvent)),
    ],
    republished={"payments.payments": "payment_id"},
    unfinished=[
        UnfinishedCheck(
            "payment {} is REQUESTED, and no step settles it",
            "select payment_id as id from <payments.payments> where status = 'REQUESTED'",
            steps_naming("payments", "payment_id"),
            RequestPayment.topic,
        ),
        UnfinishedCheck(
            "payment {} is VOIDING, and no step drives it",
            "select payment_id as id from <payments.payments> where status = 'VOIDING'",
            steps_naming("payments", "payment_id"),
            DriveVoid.topic,
        ),
        UnfinishedCheck(
            "refund {} is not through, and no step drives it",
            "select refund_id as id from <payments.refunds> where status in ('PENDING', 'REFUND_FAILED')",
            steps_naming("payments", "refund_id"),
            DriveRefund.topic,
        ),
    ],
    checks={"I4": [provider_books], "I9": [answers]},
)
