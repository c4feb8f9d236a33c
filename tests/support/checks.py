"""What must hold in an idle system, read from all its stores."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid5

from tests.support.system import System
from workers.runtime.messaging.envelope import RpcReply

HOLDING = ("AWAITING_PAYMENT", "BOOKED", "RENTED")
PAID = ("BOOKED", "RENTED", "RETURNED")


async def rentals_of(system: System, video_id: UUID) -> list[Any]:
    return await system.rows(
        "video_rental.rentals", "select * from video_rental_rentals.rentals where video_id=$1", video_id
    )


async def discrepancies(system: System, video_id: UUID) -> list[str]:
    """What is wrong with a video's rentals, their money, their events and their view."""
    rentals = await rentals_of(system, video_id)
    shelf = await system.one(
        "video_rental.rentals",
        "select held, copies from video_rental_rentals.holds join video_rental_rentals.videos using (video_id) "
        "where video_id=$1",
        video_id,
    )
    active = sum(row["status"] in HOLDING for row in rentals)
    lines = []
    if shelf["held"] != active or active > shelf["copies"]:
        lines.append(f"held {shelf['held']}, active {active}, copies {shelf['copies']}")
    for row in rentals:
        lines += [f"left {row['status']}"] if row["status"] == "AWAITING_PAYMENT" else []
        lines += await _money(system, row) + await _view(system, row)
    return lines


async def _money(system: System, row: Any) -> list[str]:
    charges = await system.rows(
        "provider",
        "select captured - voided - refunded as net from provider.charges where key = $1",
        uuid5(row["rental_id"], "payment"),
    )
    net = sum(charge["net"] for charge in charges)
    should = row["price"] if row["status"] in PAID else 0
    return [] if net == should else [f"the provider keeps {net} for a rental that is {row['status']}"]


async def _view(system: System, row: Any) -> list[str]:
    """Versions that are missing in the timeline of the view, or a view with another version than its writer."""
    rental_id = row["rental_id"]
    timeline = await system.rows(
        "video_rental.my_page", "select version from video_rental_my_page.timeline where subject=$1", rental_id
    )
    shown = await system.rows(
        "video_rental.my_page", "select version from video_rental_my_page.rentals where rental_id=$1", rental_id
    )
    missing = set(range(1, row["version"] + 1)) - {line["version"] for line in timeline}
    seen = [line["version"] for line in shown]
    return ([f"versions {missing} are missing in My Page"] if missing else []) + (
        [] if seen == [row["version"]] else [f"My Page shows {seen}, rentals has {row['version']}"]
    )


def untrue(reply: RpcReply, row: Any) -> str | None:
    """A line for an answer to a booking that does not agree with its row; None for one that does."""
    code = json.loads(reply.body).get("code") if reply.kind == "refused" else reply.kind
    status = row["status"] if row else None
    agree = {
        "BOOKED": {"done"},
        "REJECTED": {"payment_declined"},
        "CANCELLED": {"payment_unavailable"},
        None: {"video_not_available", "already_booked"},
    }[status]
    return None if code in agree else f"answered {code}, but the rental is {status}"
