"""Bike sharing: the checks of bikes, bills and the deposit ledger."""

from __future__ import annotations

from datetime import timedelta

from contracts.bike_sharing.bikes import AskHolder, BikeEvent
from contracts.bike_sharing.billing import BillEvent
from contracts.bike_sharing.deposits import (
    AccountChanged,
    AccountState,
    CreditDeposit,
    DebtPaid,
    FeeTaken,
    TakeFee,
    TopUpDeposit,
    WithdrawalEvent,
)
from contracts.bike_sharing.rides import EndAtCap, RideEvent, StartRide
from ops.audit.invariant import (
    Publication,
    SystemChecks,
    TableComparison,
    UnfinishedCheck,
    columns_of,
    steps_naming,
    topics_of,
    view_comparison,
)
from ops.audit.paid import PaidThing
from ops.audit.stores import Row, Stores
from storage.bike_sharing import ride_history

WRITERS = {f"bike_sharing.{name}": f"bike_sharing_{name}" for name in ("bikes", "rides", "billing", "deposits")}

TOP_UP = PaidThing(
    "top-up",
    "bike_sharing_deposits.top_ups",
    "top_up_id",
    created_by=[TopUpDeposit, CreditDeposit],
    due="status = 'COMPLETED'",
    in_use="status = 'COMPLETED'",
    given_back="""coalesce((select sum(r.amount) from <bike_sharing_deposits.withdrawal_refunds> r
        where r.top_up_id = t.top_up_id and r.status <> 'REFUSED'), 0)""",
    given_up="status = 'CANCELLED'",
    cost="amount",
    has_refund=False,
)

Rule = tuple[str, str]
"""The sentence about each row, with its columns as fields, and the statement that finds the rows."""

CAPACITY: tuple[Rule, ...] = (
    (
        "bike {bike_id} is held by ride {held_by}, which is {status}",
        """select b.bike_id, b.held_by, coalesce(r.status, 'not there') as status from <bike_sharing_bikes.bikes> b
        left join <bike_sharing_rides.rides> r on r.ride_id = b.held_by
        left join <bike_sharing_bikes.holds> h on h.ride_id = b.held_by
        where b.held_by is not null and coalesce(r.status, '') not in ('STARTING', 'RIDING')
          and (r.ride_id is not null or h.ride_id is null or h.status <> 'HELD')
        order by 1""",
    ),
    (
        "ride {ride_id} is RIDING, and does not hold bike {bike_id}",
        """select r.ride_id, r.bike_id from <bike_sharing_rides.rides> r where status = 'RIDING'
          and not exists (select from <bike_sharing_bikes.bikes> b
            where b.held_by = r.ride_id and b.bike_id = r.bike_id) order by 1""",
    ),
    (
        "member {member_id} has {rides} rides open",
        """select member_id, count(*) as rides from <bike_sharing_rides.rides> where status in ('STARTING', 'RIDING')
        group by 1 having count(*) > 1 order by 1""",
    ),
)

LEDGER: tuple[Rule, ...] = (
    (
        "the deposit of {member_id} is {balance} won, and its entries are {entries}",
        """select member_id, balance, coalesce(sum(amount), 0) as entries from <bike_sharing_deposits.accounts> a
        left join <bike_sharing_deposits.entries> e using (account_id)
        group by account_id, member_id, balance having balance <> coalesce(sum(amount), 0) order by 1""",
    ),
    (
        "{member_id} has {balance} won and owes {debt}",
        """select member_id, balance, debt from <bike_sharing_deposits.accounts>
        where balance < 0 or debt < 0 or (balance > 0 and debt > 0) order by 1""",
    ),
    (
        "{member_id} owes {debt} won, and {owed} on bills",
        """select a.member_id, debt, coalesce(sum(owed), 0) as owed from <bike_sharing_deposits.accounts> a
        left join <bike_sharing_deposits.fees> using (account_id)
        group by account_id, a.member_id, debt having debt <> coalesce(sum(owed), 0) order by 1""",
    ),
    (
        "bill {bill_id} has {entries} {kind} entries of {source}",
        """select bill_id, kind, coalesce(top_up_id::text, 'its own') as source, count(*) as entries
        from <bike_sharing_deposits.entries> where kind in ('FEE', 'DEBT')
        group by bill_id, kind, top_up_id having count(*) > 1 order by 1""",
    ),
    (
        "bill {bill_id}: {paid} won are paid of {amount}, {owed} owed, and its entries are {entries}",
        """select bill_id, f.amount, paid, owed, -coalesce(sum(e.amount), 0) as entries
        from <bike_sharing_deposits.fees> f left join <bike_sharing_deposits.entries> e using (bill_id)
        group by bill_id, f.amount, paid, owed
        having paid + owed <> f.amount or paid <> -coalesce(sum(e.amount), 0) order by 1""",
    ),
    (
        "an entry takes {amount} won for bill {bill_id}, which has no fee",
        """select bill_id, -amount as amount from <bike_sharing_deposits.entries> e where kind in ('FEE', 'DEBT')
          and not exists (select from <bike_sharing_deposits.fees> f where f.bill_id = e.bill_id) order by 1""",
    ),
    (
        "top-up {top_up_id} of {amount} won is {status}, and {entries} won were entered for it",
        """select t.top_up_id, t.amount, t.status, coalesce(sum(e.amount), 0) as entries
        from <bike_sharing_deposits.top_ups> t left join <bike_sharing_deposits.entries> e
          on e.top_up_id = t.top_up_id and e.kind in ('TOP_UP', 'CREDIT')
        group by t.top_up_id, t.amount, t.status
        having coalesce(sum(e.amount), 0) <> case t.status when 'COMPLETED' then t.amount else 0 end order by 1""",
    ),
    (
        "withdrawal {withdrawal_id} of {amount} won: {refunded} and {by_hand} by hand, and its refunds are {done} "
        "and {open} under way, its entry {entered}",
        """select w.withdrawal_id, w.amount, refunded, by_hand, done, open, coalesce(e.amount, 0) as entered
        from <bike_sharing_deposits.withdrawals> w
        left join <bike_sharing_deposits.entries> e on e.withdrawal_id = w.withdrawal_id
        cross join lateral (
          select coalesce(sum(r.amount) filter (where r.status = 'REFUNDED'), 0) as done,
            coalesce(sum(r.amount) filter (where r.status = 'PENDING'), 0) as open
          from <bike_sharing_deposits.withdrawal_refunds> r where r.withdrawal_id = w.withdrawal_id) sums
        where refunded <> done or done + open + by_hand <> w.amount or e.amount is distinct from - w.amount
          or (w.status = 'COMPLETED') <> (refunded + paid_out = w.amount)
        order by 1""",
    ),
    (
        "ride {ride_id} costs {fee} won, and its bill says {amount}",
        """select r.ride_id, r.fee, b.amount from <bike_sharing_rides.rides> r
        join <bike_sharing_billing.bills> b using (ride_id) where b.amount is distinct from r.fee
          and b.status <> 'OPEN' order by 1""",
    ),
)

NOT_RECEIVED: tuple[Rule, ...] = (
    (
        "rides does not have bike {bike_id}",
        """select bike_id from <bike_sharing_bikes.bikes> b
        where not exists (select from <bike_sharing_rides.bikes> r where r.bike_id = b.bike_id) order by 1""",
    ),
    (
        "ride {ride_id} is {status}, and its bill is {bill}",
        """select r.ride_id, r.status, coalesce(b.status, 'not there') as bill from <bike_sharing_rides.rides> r
        left join <bike_sharing_billing.bills> b using (ride_id)
        where r.started_at is not null and (b.bill_id is null or (b.status = 'OPEN') <> (r.status = 'RIDING'))
        order by 1""",
    ),
    (
        "bill {bill_id} has version {recorded} of its fee, deposits version {version}",
        """select b.bill_id, b.fee_version as recorded, f.version from <bike_sharing_billing.bills> b
        join <bike_sharing_deposits.fees> f using (bill_id)
        where (b.fee_version, b.paid, b.owed) is distinct from (f.version, f.paid, f.owed) order by 1""",
    ),
    (
        "ride {ride_id} is {status}, and bikes has not released its bike",
        """select r.ride_id, r.status from <bike_sharing_rides.rides> r
        left join <bike_sharing_bikes.holds> h using (ride_id)
        where (r.ended_at is not null or (r.status = 'NOT_STARTED' and r.reason = 'bike_unavailable'))
          and (h.status is distinct from 'RELEASED' or not r.bike_released) order by 1""",
    ),
)

WITHOUT_REQUEST = """
    select ride_id as id from <bike_sharing_rides.rides> r
    where status <> 'NOT_STARTED' and created_at > now() - $1::interval
      and not exists (select from <bike_sharing_rides.inbox> i where i.id = r.ride_id and i.topic = $2)
    order by 1"""


WITHDRAWN: tuple[Rule, ...] = (
    (
        "withdrawal {withdrawal_id}: its refund {refund_id} is {recorded}, and payments has it as {status}",
        """select withdrawal_id, refund_id, r.status as recorded, coalesce(f.status, 'not there') as status
        from <bike_sharing_deposits.withdrawal_refunds> r left join <payments.refunds> f using (refund_id)
        where case coalesce(f.status, '') when 'REFUNDED' then r.status <> 'REFUNDED'
          when 'REFUSED' then r.status <> 'REFUSED' when '' then true else r.status <> 'PENDING' end
          or f.amount <> r.amount order by 1""",
    ),
)


async def capacity(stores: Stores) -> list[str]:
    """Check that each bike is held by the ride that uses it."""
    return await _find(stores, CAPACITY)


async def ledger(stores: Stores) -> list[str]:
    """Check that balances equal the sums of their entries, each fee is taken once, and no debtor has money."""
    return await _find(stores, LEDGER)


async def not_received(stores: Stores) -> list[str]:
    """Check that messages between contexts arrived, by the rows that they cause there."""
    return [] if stores.without & WRITERS.keys() else await _find(stores, NOT_RECEIVED)


async def withdrawn(stores: Stores) -> list[str]:
    """Check that payments has each refund of a withdrawal, with the same outcome."""
    return [] if "payments" in stores.without else await _find(stores, WITHDRAWN)


async def without_request(stores: Stores) -> list[str]:
    """Check that each ride has its request in the inbox, while answers are kept."""
    kept = timedelta(days=stores.settings.keep_answers_days) - timedelta(hours=1)
    rows = await stores.rows(WITHOUT_REQUEST, kept, StartRide.topic)
    return [f"ride {row['id']} has no request in the inbox" for row in rows]


async def _find(stores: Stores, checks: tuple[Rule, ...]) -> list[str]:
    found: list[str] = []
    for sentence, statement in checks:
        rows: list[Row] = await stores.rows(statement)
        found += [sentence.format(**row) for row in rows]
    return found


CHECKS = SystemChecks(
    tables={
        "bike_sharing_bikes": ("bikes", "holds", "inbox"),
        "bike_sharing_rides": ("rides", "bikes", "accounts", "inbox"),
        "bike_sharing_billing": ("bills", "inbox"),
        "bike_sharing_deposits": (
            "accounts",
            "entries",
            "fees",
            "top_ups",
            "withdrawals",
            "withdrawal_refunds",
            "inbox",
        ),
        "bike_sharing_ride_history": ("generations", "rides", "bikes", "bills", "timeline"),
    },
    writers=WRITERS,
    views=[ride_history.tables],
    comparisons=[
        TableComparison(
            "account",
            "account_id",
            "bike_sharing_deposits.accounts",
            "bike_sharing_rides.accounts",
            columns_of(AccountState, "account_id"),
            published="version > 0",
        ),
        view_comparison(ride_history.tables, ride_history.rides, "ride_id", "bike_sharing_rides.rides"),
        view_comparison(ride_history.tables, ride_history.bikes, "bike_id", "bike_sharing_bikes.bikes"),
        view_comparison(ride_history.tables, ride_history.bills, "bill_id", "bike_sharing_billing.bills"),
    ],
    publications=[
        Publication("bike", "bike_sharing_bikes.bikes", "bike_id", topics_of(BikeEvent)),
        Publication("ride", "bike_sharing_rides.rides", "ride_id", topics_of(RideEvent)),
        Publication("bill", "bike_sharing_billing.bills", "bill_id", topics_of(BillEvent)),
        Publication("account", "bike_sharing_deposits.accounts", "account_id", [AccountChanged.topic]),
        Publication("withdrawal", "bike_sharing_deposits.withdrawals", "withdrawal_id", topics_of(WithdrawalEvent)),
        Publication("fee", "bike_sharing_deposits.fees", "bill_id", [FeeTaken.topic, DebtPaid.topic]),
    ],
    unfinished=[
        UnfinishedCheck(
            "ride {} is STARTING, and no step settles it",
            "select ride_id as id from <bike_sharing_rides.rides> where status = 'STARTING'",
            "select id from <bike_sharing_rides.inbox> where topic = $1 and state = 'started'",
            StartRide.topic,
        ),
        UnfinishedCheck(
            "ride {} is RIDING, and no timer would end it",
            "select ride_id as id from <bike_sharing_rides.rides> where status = 'RIDING'",
            steps_naming("bike_sharing_rides", "ride_id"),
            EndAtCap.topic,
        ),
        UnfinishedCheck(
            "ride {} holds a bike, and no step will check the hold",
            "select ride_id as id from <bike_sharing_bikes.holds> where status = 'HELD'",
            steps_naming("bike_sharing_bikes", "ride_id"),
            AskHolder.topic,
        ),
        UnfinishedCheck(
            "bill {} is SETTLING, and no step takes its fee",
            "select bill_id as id from <bike_sharing_billing.bills> where status = 'SETTLING'",
            steps_naming("bike_sharing_deposits", "bill_id"),
            TakeFee.topic,
        ),
        TOP_UP.unfinished,
    ],
    claims=[TOP_UP.claim],
    claim_kinds={"bike_sharing.deposits": "'top-up'"},
    checks={
        "I3": [capacity],
        "I4": [ledger],
        "I5": [not_received, withdrawn, TOP_UP.not_received],
        "I8": [TOP_UP.parts_equal],
        "I9": [without_request, TOP_UP.requested],
    },
)
