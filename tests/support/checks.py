"""What must hold in a quiet system, read from all its stores."""

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
    """Everything that is wrong about a video's rentals, their money, and what was said of them."""
    rentals = await rentals_of(system, video_id)
    shelf = await system.one(
        "video_rental.rentals",
        "select held, copies from video_rental_rentals.holds join video_rental_rentals.videos using (video_id) "
        "where video_id=$1",
        video_id,
    )
    active = sum(row["status"] in HOLDING for row in rentals)
    wrong = []
    if shelf["held"] != active or active > shelf["copies"]:
        wrong.append(f"held {shelf['held']}, active {active}, copies {shelf['copies']}")
    for row in rentals:
        wrong += [f"left {row['status']}"] if row["status"] == "AWAITING_PAYMENT" else []
        wrong += await _money(system, row) + await _unsaid(system, row)
    return wrong


async def _money(system: System, row: Any) -> list[str]:
    charges = await system.rows(
        "provider",
        "select captured - voided - refunded as net from provider.charges where key = $1",
        uuid5(row["rental_id"], "payment"),
    )
    net = sum(charge["net"] for charge in charges)
    should = row["price"] if row["status"] in PAID else 0
    return [] if net == should else [f"the provider keeps {net} for a rental that is {row['status']}"]


async def _unsaid(system: System, row: Any) -> list[str]:
    """Versions that the view never heard of, or a view that shows another one than the writer has."""
    rental_id = row["rental_id"]
    heard = await system.rows(
        "video_rental.my_page", "select version from video_rental_my_page.timeline where subject=$1", rental_id
    )
    shown = await system.rows(
        "video_rental.my_page", "select version from video_rental_my_page.rentals where rental_id=$1", rental_id
    )
    missing = set(range(1, row["version"] + 1)) - {line["version"] for line in heard}
    seen = [line["version"] for line in shown]
    return ([f"versions {missing} were never heard"] if missing else []) + (
        [] if seen == [row["version"]] else [f"My Page shows {seen}, rentals has {row['version']}"]
    )


def untrue(reply: RpcReply, row: Any) -> str | None:
    """An answer to a booking that does not agree with its row."""
    code = json.loads(reply.body).get("code") if reply.kind == "refused" else reply.kind
    status = row["status"] if row else None
    true = {
        "BOOKED": {"done"},
        "REJECTED": {"payment_declined"},
        "CANCELLED": {"payment_unavailable"},
        None: {"video_not_available", "already_booked"},
    }[status]
    return None if code in true else f"answered {code}, but the rental is {status}"
