"""Ticketing: the checks of tickets, holds, the board and the answers to requests."""

from __future__ import annotations

from contracts.ticketing.pricing import FrozenPriceEvent, PolicyEnded, PriceAssigned
from contracts.ticketing.reservations import ReservationEvent, ReserveTicket
from contracts.ticketing.tickets import CheckHold, ExpireTicket, TicketEvent
from ops.audit.invariant import (
    Publication,
    SystemChecks,
    TableComparison,
    UnfinishedCheck,
    steps_naming,
    topics_of,
    view_comparison,
)
from ops.audit.stores import Stores
from storage.ticketing import board


async def capacity(stores: Stores) -> list[str]:
    """Check that RESERVED tickets and RESERVED reservations belong to each other, one to one."""
    rows = await stores.rows("""
        select t.ticket_id, t.reservation_id as holder, t.status, r.reservation_id
        from <ticketing_tickets.tickets> t full join
          (select * from <ticketing_reservations.reservations> where status = 'RESERVED') r using (ticket_id)
        where (t.status = 'RESERVED' or r.status = 'RESERVED') and t.reservation_id is distinct from r.reservation_id
          and not exists (select from <ticketing_reservations.reservations> a
            where a.reservation_id = t.reservation_id and a.status in ('PENDING', 'CANCELLING'))
          and not exists (select from <ticketing_tickets.holds> h
            where h.reservation_id = t.reservation_id and h.status = 'HELD')
        order by 1""")
    return [
        f"ticket {row['ticket_id']} is {row['status']} for {row['holder'] or 'nobody'}, "
        f"and reserved by {row['reservation_id'] or 'nobody'}"
        for row in rows
    ]


async def answers(stores: Stores) -> list[str]:
    """Check that each kept answer to a reservation agrees with its row."""
    rows = await stores.rows(
        """select i.id, i.refused, i.answer::json ->> 'code' as code, r.status
        from <ticketing_reservations.inbox> i
        left join <ticketing_reservations.reservations> r on r.reservation_id = i.id
        where i.topic = $1 and i.state = 'done' and i.answer is not null
          and case when i.refused then r.status <> 'REJECTED'
            else coalesce(r.status, 'REJECTED') in ('REJECTED', 'PENDING') end
        order by i.id""",
        ReserveTicket.topic,
    )
    return [
        f"reservation {row['id']} was answered {row['code'] or 'RESERVED'}, and is {row['status'] or 'not there'}"
        for row in rows
    ]


CHECKS = SystemChecks(
    tables={
        "ticketing_tickets": ("tickets", "holds", "inbox"),
        "ticketing_pricing": ("tickets", "prices", "frozen_prices", "inbox"),
        "ticketing_reservations": ("reservations", "prices", "inbox"),
        "ticketing_board": ("generations", "tickets", "prices", "reservations", "frozen_prices", "timeline"),
    },
    writers={
        "ticketing.tickets": "ticketing_tickets",
        "ticketing.pricing": "ticketing_pricing",
        "ticketing.reservations": "ticketing_reservations",
    },
    views=[board.tables],
    comparisons=[
        TableComparison(
            "ticket", "ticket_id", "ticketing_tickets.tickets", "ticketing_pricing.tickets", ["base_price", "status"]
        ),
        TableComparison(
            "price", "ticket_id", "ticketing_pricing.prices", "ticketing_reservations.prices", ["standard", "vip"]
        ),
        view_comparison(board.tables, board.tickets, "ticket_id", "ticketing_tickets.tickets"),
        view_comparison(board.tables, board.prices, "price_id", "ticketing_pricing.prices"),
        view_comparison(board.tables, board.reservations, "reservation_id", "ticketing_reservations.reservations"),
        view_comparison(board.tables, board.frozen_prices, "frozen_price_id", "ticketing_pricing.frozen_prices"),
    ],
    publications=[
        Publication("ticket", "ticketing_tickets.tickets", "ticket_id", topics_of(TicketEvent)),
        Publication("policy", "ticketing_pricing.policies", "policy_id", [PolicyEnded.topic], silent=1),
        Publication("price", "ticketing_pricing.prices", "price_id", [PriceAssigned.topic]),
        Publication("frozen price", "ticketing_pricing.frozen_prices", "frozen_price_id", topics_of(FrozenPriceEvent)),
        Publication(
            "reservation", "ticketing_reservations.reservations", "reservation_id", topics_of(ReservationEvent)
        ),
    ],
    unfinished=[
        UnfinishedCheck(
            "reservation {} is PENDING, and no step settles it",
            "select reservation_id as id from <ticketing_reservations.reservations> where status = 'PENDING'",
            "select id from <ticketing_reservations.inbox> where topic = $1 and state = 'started'",
            ReserveTicket.topic,
        ),
        UnfinishedCheck(
            "the hold of reservation {} is not confirmed, and no step will check it",
            "select reservation_id as id from <ticketing_tickets.holds> where status = 'HELD'",
            steps_naming("ticketing_tickets", "reservation_id"),
            CheckHold.topic,
        ),
        UnfinishedCheck(
            "ticket {} is AVAILABLE, and no timer would expire it",
            "select ticket_id as id from <ticketing_tickets.tickets> where status = 'AVAILABLE'",
            steps_naming("ticketing_tickets", "ticket_id"),
            ExpireTicket.topic,
        ),
    ],
    checks={"I3": [capacity], "I9": [answers]},
)
