"""The checks of things that a card payment pays for, whatever the business: see `storage.paid`."""
# ruff: noqa: S608 - statements are put together from constants of this package

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from contracts.base import Command
from contracts.payments import PaymentStatus
from ops.audit.invariant import UnfinishedCheck
from ops.audit.stores import Stores

UNDONE = ", ".join(f"'{status}'" for status in (PaymentStatus.VOIDED, PaymentStatus.DECLINED, PaymentStatus.REFUNDED))
"""The statuses of a payment of which nothing is kept."""


@dataclass(frozen=True)
class PaidThing:
    """A kind of thing: its table, and what its statuses mean for its payment."""

    kind: str
    table: str
    key: str
    created_by: Sequence[type[Command[Any]]]
    """The commands whose id a thing takes; the first is the one that pays for it."""
    due: str
    """The condition (SQL) of a thing that must be paid."""
    given_up: str
    """The condition (SQL) of a thing whose payment must be voided."""
    in_use: str
    """The condition (SQL) of a thing that its customer has, or may still get."""
    given_back: str = "0"
    """What the business itself has refunded of a thing in use (SQL)."""
    cost: str = "price"
    undecided: Sequence[str] = ("AWAITING_PAYMENT",)
    """The statuses in which the payment may have any status."""
    has_refund: bool = True
    """Whether a cancellation refunds the payment, under a refund id that the thing keeps."""

    @property
    def unfinished(self) -> UnfinishedCheck:
        """Each thing that awaits its payment has a step that settles it."""
        return UnfinishedCheck(
            f"{self.kind} {{}} awaits its payment, and no step settles it",
            f"select {self.key} as id from <{self.table}> where status = 'AWAITING_PAYMENT'",
            f"select id from <{self._inbox}> where topic = $1 and state = 'started'",
            self.created_by[0].topic,
        )

    @property
    def claim(self) -> str:
        """The payments of these things, as `SystemChecks.claims` wants them."""
        return f"""
            select {self.key} as thing, '{self.kind}' as kind, payment_id, {self.cost} as cost, status,
              case when {self.due} then 'due' when {self._is_undecided} then 'open' else 'void' end as claim,
              case when {self.in_use} then {self.given_back} end as given_back
            from <{self.table}> t where payment_id is not null"""

    async def not_received(self, stores: Stores) -> list[str]:
        """Check that refunds and voids arrived at payments, by the rows that they cause there."""
        if "payments" in stores.without:
            return []
        found = []
        if self.has_refund:
            rows = await stores.rows(f"""
                select {self.key} as id, refund_id from <{self.table}> t where refund_id is not null
                  and not exists (select from <payments.refunds> f where f.refund_id = t.refund_id) order by 1""")
            found += [f"{self.kind} {row['id']}: payments does not have its refund {row['refund_id']}" for row in rows]
        rows = await stores.rows(f"""
            select t.{self.key} as id, t.payment_id from (select * from <{self.table}> where {self.given_up}) t
            left join <payments.payments> p using (payment_id)
            where coalesce(p.status, '') not in ('VOIDING', {UNDONE}) order by 1""")
        return found + [
            f"{self.kind} {row['id']}: payments has not voided its payment {row['payment_id']}" for row in rows
        ]

    async def parts_equal(self, stores: Stores) -> list[str]:
        """Check that each thing has the status of its payment and its refund as payments has it."""
        rows = await stores.rows(f"""
            select t.{self.key} as id, t.payment_status as recorded, p.status
            from (select * from <{self.table}> where not {self._is_undecided}) t
            join <payments.payments> p using (payment_id)
            where p.status <> 'REQUESTED' and (t.payment_status, t.refunded) is distinct from (p.status, p.refunded)
            order by 1""")
        found = [
            f"{self.kind} {row['id']} has its payment as {row['recorded']}, and it is {row['status']}" for row in rows
        ]
        if self.has_refund:
            rows = await stores.rows(f"""
                select {self.key} as id, t.refund_status || ' ' || t.refund_amount as recorded,
                  f.status || ' ' || f.amount as status
                from <{self.table}> t join <payments.refunds> f using (refund_id)
                where (t.refund_status, t.refund_amount) is distinct from (f.status, f.amount) order by 1""")
            found += [
                f"{self.kind} {row['id']} has its refund as {row['recorded']}, and it is {row['status']}"
                for row in rows
            ]
        return found

    async def requested(self, stores: Stores) -> list[str]:
        """Check that each thing has its request in the inbox, while answers are kept."""
        kept = timedelta(days=stores.settings.keep_answers_days) - timedelta(hours=1)
        rows = await stores.rows(
            f"""select {self.key} as id from <{self.table}> t where created_at > now() - $1::interval
              and not exists (select from <{self._inbox}> i where i.id = t.{self.key} and i.topic = any($2::text[]))
            order by 1""",
            kept,
            [command.topic for command in self.created_by],
        )
        return [f"{self.kind} {row['id']} has no request in the inbox" for row in rows]

    @property
    def _inbox(self) -> str:
        return f"{self.table.partition('.')[0]}.inbox"

    @property
    def _is_undecided(self) -> str:
        return "status in ('" + "', '".join(self.undecided) + "')"
