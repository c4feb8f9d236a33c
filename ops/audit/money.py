"""I2 and I4: no double charge, and the money kept equals what bookings cost, by the payment provider's own ledger.

Voids and refunds in progress are left out; that they finish is checked by I1.
"""
# ruff: noqa: S608 - statements are put together from constants of this package

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid5

from contracts.payments import RequestPayment
from ops.audit.registry import CLAIM_KINDS, CLAIMS, FULLY_REFUNDED
from ops.audit.stores import DERIVED, Row, Stores

PURPOSES = list(CLAIM_KINDS)
"""The purposes of the payments that CLAIMS covers."""

# Claims of the systems, rows of payments, and charges of the provider, joined by payment id.
DERIVED["money"] = (
    """payment_id uuid, kind text, thing uuid, cost bigint, thing_status text, claim text, given_back bigint,
    status text, payer text, purpose text,
    amount bigint, captured bigint, voided bigint, refunded bigint, refunding bigint,
    key uuid, c_amount bigint, c_captured bigint, c_voided bigint, c_refunded bigint""",
    f"""
    select coalesce(p.payment_id, c.key, b.payment_id), b.kind, b.thing, b.cost, b.status, b.claim, b.given_back,
      p.status, p.payer, p.purpose, p.amount, p.captured, p.voided, p.refunded, p.refunding,
      c.key, c.amount, c.captured, c.voided, c.refunded
    from <payments.payments> p full join <provider.charges> c on c.key = p.payment_id
    full join ({CLAIMS}) b on b.payment_id = coalesce(p.payment_id, c.key)""",
)

# -- I2

# A charge that no booking names belongs to the booking that requested it: the RequestPayment in the inbox has the id of
# the payment and the story of the booking.
_CLAIM_KINDS = " ".join(f"when '{purpose}' then {kind}" for purpose, kind in CLAIM_KINDS.items())

CHARGED_TWICE = f"""
    with unnamed as (
      select m.key, i.story_id as thing,
        case m.purpose {_CLAIM_KINDS} else 'thing' end as kind
      from <audit.money> m join <payments.inbox> i on i.id = m.key and i.topic = $1
      where m.thing is null and m.c_captured > m.c_voided),
    owned as (
      select key, kind, thing from unnamed
      union
      select m.key, kind, thing from <audit.money> m join unnamed using (kind, thing) where m.c_captured > m.c_voided)
    select kind, thing, array_agg(key order by key) as keys from owned
    group by kind, thing having count(*) > 1 order by thing"""

PAYS_TWICE = """
    with shared as (select payment_id from <audit.money> where thing is not null group by 1 having count(*) > 1)
    select payment_id, array_agg(kind || ' ' || thing order by thing) as things
    from <audit.money> join shared using (payment_id) group by payment_id order by payment_id"""

CHARGED_FOR_NOTHING = """
    select key, c_captured - c_voided as amount from <audit.money> where status is null and c_captured > c_voided
    order by key"""


async def i2_no_double_charge(stores: Stores) -> list[str]:
    """Check that each booking has at most one charge that was captured and not voided."""
    twice = await stores.rows(CHARGED_TWICE, RequestPayment.topic)
    shared = await stores.rows(PAYS_TWICE)
    found = [
        f"{row['kind']} {row['thing']} was charged {len(row['keys'])} times: {_join(row['keys'])}" for row in twice
    ]
    found += [f"payment {row['payment_id']} pays for more than one thing: {_join(row['things'])}" for row in shared]
    found += [
        f"charge {row['key']} of {row['amount']} won was captured, and payments has no row of it"
        for row in await stores.rows(CHARGED_FOR_NOTHING)
    ]
    return found


# -- I4

DIFFERENT = """
    select * from <audit.money>
    where (status not in ('REQUESTED', 'VOIDING') and captured <> coalesce(c_captured - c_voided, 0))
      or (refunding = 0 and refunded <> coalesce(c_refunded, 0))
      or (status = 'VOIDED' and voided <> coalesce(c_voided, 0))
      or (payer <> '' and amount <> c_amount)
    order by payment_id"""

REFUNDS = """
    with sums as (
      select payment_id, sum(amount) filter (where status = 'REFUNDED') as refunded,
        sum(amount) filter (where status in ('PENDING', 'REFUND_FAILED')) as refunding
      from <payments.refunds> group by payment_id)
    select coalesce(p.payment_id, s.payment_id) as payment_id, coalesce(p.refunded, 0) as refunded,
      coalesce(p.refunding, 0) as refunding, coalesce(s.refunded, 0) as sum_refunded,
      coalesce(s.refunding, 0) as sum_refunding
    from <payments.payments> p full join sums s on s.payment_id = p.payment_id
    where coalesce(p.refunded, 0) <> coalesce(s.refunded, 0) or coalesce(p.refunding, 0) <> coalesce(s.refunding, 0)
    order by 1"""

UNPAID = """
    select * from <audit.money>
    where claim = 'due' and (status is null or status not in ('APPROVED', 'PARTIALLY_REFUNDED', 'REFUNDED')
      or c_captured - c_voided is distinct from cost)
    order by thing"""

KEPT = """
    select *, c_captured - c_voided - c_refunded as kept from <audit.money>
    where c_captured > c_voided + c_refunded and status not in ('REQUESTED', 'VOIDING')
      and refunding < c_captured - c_voided - c_refunded
      and (claim = 'void' or (thing is null and purpose = any($1::text[])))
    order by key"""

REFUNDED_THOUGH_DUE = """
    select kind, thing, thing_status, refund_id from <audit.money> join <payments.refunds> using (payment_id)
    where claim = 'due' and kind = any($1::text[]) order by thing"""

GIVEN_BACK_THOUGH_IN_USE = """
    select *, refunded + refunding as gone from <audit.money> where refunded + refunding > given_back order by thing"""

# Payments in progress count on neither side.
TOTALS = """
    select coalesce(sum(c_captured - c_voided - c_refunded), 0) as kept,
      coalesce(sum(cost - refunded) filter (where claim = 'due'), 0) as due
    from <audit.money>
    where (status is null or (status not in ('REQUESTED', 'VOIDING') and refunding = 0))
      and claim is distinct from 'open' and (thing is not null or purpose is null or purpose = any($1::text[]))"""


async def i4_money_balance(stores: Stores) -> list[str]:
    """Check that the provider keeps what current bookings and paid late fees cost, less manual refunds."""
    found = [_provider_difference(row) for row in await stores.rows(DIFFERENT)]
    found += [
        f"payment {row['payment_id']}: {row['refunded']} won are refunded and {row['refunding']} under way, "
        f"the sums of its refunds are {row['sum_refunded']} and {row['sum_refunding']}"
        for row in await stores.rows(REFUNDS)
    ]
    found += [_unpaid(row) for row in await stores.rows(UNPAID)]
    found += [_kept_for_nothing(row) for row in await stores.rows(KEPT, PURPOSES)]
    found += [
        f"{row['kind']} {row['thing']} is {row['thing_status']}, and was refunded ({row['refund_id']}) as if cancelled"
        for row in await stores.rows(REFUNDED_THOUGH_DUE, FULLY_REFUNDED)
        if row["refund_id"] == uuid5(row["thing"], "refund")
    ]
    found += [
        f"{row['kind']} {row['thing']} is {row['thing_status']}, and {row['gone']} won of its payment "
        f"{row['payment_id']} are refunded, {row['given_back']} of them by its business"
        for row in await stores.rows(GIVEN_BACK_THOUGH_IN_USE)
    ]
    sums = await totals(stores)
    if sums.kept != sums.due:
        found.append(f"in all {sums.kept} won are kept, and {sums.due} are due")
    return found


@dataclass(frozen=True)
class Totals:
    """Both sides of the money balance, in won."""

    kept: int
    due: int


async def totals(stores: Stores) -> Totals:
    """Sum up both sides; raises NotCheckableError."""
    (row,) = await stores.rows(TOTALS, PURPOSES)
    return Totals(int(row["kept"]), int(row["due"]))


def _provider_difference(row: Row) -> str:
    """Describe where a payment's row differs from its charge."""
    payment = f"payment {row['payment_id']} ({row['status']})"
    if row["key"] is None:
        return f"{payment}: {row['captured']} won captured, {row['refunded']} refunded, and there is no charge"
    charged = row["c_captured"] - row["c_voided"]
    pairs = [
        ("amount", row["amount"], row["c_amount"]),
        ("captured and not voided", row["captured"], charged),
        ("refunded", row["refunded"], row["c_refunded"]),
        ("voided", row["voided"], row["c_voided"]),
    ]
    differences = [
        f"{what} {ours}, at the provider {theirs}"
        for what, ours, theirs in pairs
        if ours != theirs and (what != "voided" or row["status"] == "VOIDED")
    ]
    return f"{payment}: {'; '.join(differences)}"


def _unpaid(row: Row) -> str:
    charged = (row["c_captured"] or 0) - (row["c_voided"] or 0)
    return (
        f"{row['kind']} {row['thing']} is {row['thing_status']} for {row['cost']} won, "
        f"and payment {row['payment_id']} is {row['status'] or 'not there'}, {charged} won charged"
    )


def _kept_for_nothing(row: Row) -> str:
    if row["thing"] is None:
        return f"{row['kept']} won are kept of charge {row['key']}, which no booking of {row['purpose']} names"
    return f"{row['kept']} won are kept of charge {row['key']}: {row['kind']} {row['thing']} is {row['thing_status']}"


def _join(things: list[object]) -> str:
    return ", ".join(map(str, things))
