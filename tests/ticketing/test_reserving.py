"""Reserving and cancelling, over HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import uuid4

import httpx
import pytest

from contracts.ticketing.reservations import ReserveTicket
from tests.support.system import Json
from tests.ticketing.helpers import RESERVATIONS, Person, Ticketing


async def test_a_member_reserves_a_ticket_at_its_price(ticketing: Ticketing, kim: Person) -> None:
    ticket = await ticketing.ticket(base_price=12_000)

    reservation = await kim.reserve(ticket)

    assert (reservation["status"], reservation["member_id"]) == ("RESERVED", kim.name)
    assert reservation["price"] == {"base": 12_000, "lines": [], "total": 12_000, "grade": "STANDARD"}
    assert await kim.get(f"/reservations/{reservation['reservation_id']}") == reservation
    assert (await kim.get(f"/tickets/{ticket['ticket_id']}"))["status"] == "RESERVED"
    await ticketing.system.wait_until_idle()
    assert await ticketing.system.event_names(RESERVATIONS, reservation_id=reservation["reservation_id"]) == [
        "reservation_started",
        "ticket_reserved",
    ]


async def test_of_a_hundred_members_one_has_the_ticket(ticketing: Ticketing) -> None:
    ticket = await ticketing.ticket()
    body = {"ticket_id": ticket["ticket_id"]}

    async def reserve(member: Person, key: str) -> httpx.Response:
        """Repeat a request whose outcome was not known in time on a busy machine."""
        while True:
            answer = await member.send("POST", "/reservations", body, key=key)
            if answer.status_code != 504:
                return answer

    answers = await asyncio.gather(*(reserve(ticketing.member(), str(number)) for number in range(100)))

    came = Counter((answer.status_code, answer.json().get("code")) for answer in answers)
    assert came == {(201, None): 1, (409, "ticket_not_available"): 99}
    everything = await ticketing.staff.get("/reservations?limit=200")
    of_ticket = Counter(one["status"] for one in everything["items"] if one["ticket_id"] == ticket["ticket_id"])
    assert of_ticket == {"RESERVED": 1, "REJECTED": 99}


async def test_a_cancelled_reservation_frees_the_ticket_and_restores_its_price(
    ticketing: Ticketing, kim: Person, lee: Person
) -> None:
    ticket = await ticketing.ticket()
    reservation = await kim.reserve(ticket)
    path = f"/reservations/{reservation['reservation_id']}"

    cancelling = await kim.post(f"{path}/cancellation", {"reason": "no time"}, expect=200)

    assert (cancelling["status"], cancelling["reason"]) == ("CANCELLING", "no time")
    cancelled = await kim.wait_for(path, status="CANCELLED", reason="no time", version=4)
    assert cancelled["price"] == reservation["price"]
    await kim.wait_for(f"/tickets/{ticket['ticket_id']}", status="AVAILABLE")
    assert (await lee.reserve(ticket))["status"] == "RESERVED"


async def test_cancelling_again_changes_nothing(ticketing: Ticketing, kim: Person, lee: Person) -> None:
    ticket = await ticketing.ticket()
    reservation = await kim.reserve(ticket)
    path = f"/reservations/{reservation['reservation_id']}"
    await kim.cancel(reservation)
    cancelled = await kim.wait_for(path, status="CANCELLED")
    other = await lee.reserve(ticket)

    again = await kim.cancel(reservation)
    await ticketing.system.wait_until_idle()

    assert again == cancelled
    assert (await lee.get(f"/reservations/{other['reservation_id']}"))["status"] == "RESERVED"
    assert (await lee.get(f"/tickets/{ticket['ticket_id']}"))["status"] == "RESERVED"


async def test_a_rejected_reservation_is_shown_and_cannot_be_cancelled(
    ticketing: Ticketing, kim: Person, lee: Person
) -> None:
    ticket = await ticketing.ticket()
    await kim.reserve(ticket)

    refusal = await lee.reserve(ticket, expect=409)

    assert (refusal["code"], refusal["current_status"]) == ("ticket_not_available", "REJECTED")
    rejected = await lee.get(f"/reservations/{refusal['reservation_id']}")
    assert (rejected["status"], rejected["reason"]) == ("REJECTED", "ticket_not_available")
    no = await lee.cancel(rejected, expect=409)
    assert (no["code"], no["current_status"]) == ("wrong_state", "REJECTED")


async def test_a_list_shows_a_members_own_reservations_and_can_be_filtered(
    ticketing: Ticketing, kim: Person, lee: Person
) -> None:
    tickets = [await ticketing.ticket() for _ in range(3)]
    mine = [(await kim.reserve(ticket))["reservation_id"] for ticket in tickets]
    await lee.reserve(tickets[0], expect=409)
    await kim.post(f"/reservations/{mine[0]}/cancellation", {}, expect=200)
    await kim.wait_for(f"/reservations/{mine[0]}", status="CANCELLED")

    def ids(page: Json) -> list[str]:
        return [one["reservation_id"] for one in page["items"]]

    first = await kim.get("/reservations?limit=2")
    rest = await kim.get(f"/reservations?limit=2&cursor={first['next_cursor']}")
    assert ids(first) + ids(rest) == mine[::-1]
    assert rest["next_cursor"] is None
    assert ids(await kim.get("/reservations?status=CANCELLED")) == mine[:1]
    assert ids(await ticketing.staff.get(f"/reservations?member_id={kim.name}")) == mine[::-1]
    assert (await kim.send("GET", f"/reservations?member_id={lee.name}")).status_code == 403


@pytest.mark.parametrize("action", ["GET", "cancel", "board"])
async def test_another_members_reservation_does_not_exist(
    ticketing: Ticketing, kim: Person, lee: Person, action: str
) -> None:
    reservation = await kim.reserve(await ticketing.ticket())
    path = f"/reservations/{reservation['reservation_id']}"

    if action == "board":
        answer = await lee.send("GET", f"/board/{reservation['reservation_id']}")
    else:
        answer = await lee.send("GET" if action == "GET" else "POST", path + "/cancellation" * (action == "cancel"))

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await kim.get(path))["version"] == reservation["version"]


async def test_staff_may_cancel_for_a_member(ticketing: Ticketing, kim: Person) -> None:
    reservation = await kim.reserve(await ticketing.ticket())

    await ticketing.staff.cancel(reservation)

    await kim.wait_for(
        f"/reservations/{reservation['reservation_id']}", status="CANCELLED", reason="cancelled_by_staff"
    )


async def test_an_unknown_ticket_is_not_found(ticketing: Ticketing, kim: Person) -> None:
    for body in ({"ticket_id": str(uuid4())}, {"ticket_id": str(uuid4())}):
        assert (await kim.post("/reservations", body, expect=404))["code"] == "not_found"


async def test_the_same_key_again_is_the_first_answer_and_fifty_at_once_are_one_reservation(
    ticketing: Ticketing, kim: Person
) -> None:
    ticket, key = await ticketing.ticket(), str(uuid4())
    body = {"ticket_id": ticket["ticket_id"]}

    answers = await asyncio.gather(*(kim.send("POST", "/reservations", body, key=key) for _ in range(50)))
    again = await kim.send("POST", "/reservations", body, key=key)
    other = await kim.send("POST", "/reservations", {"ticket_id": str(uuid4())}, key=key)

    done = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {answer.json().get("code") for answer in answers if answer.status_code == 409} <= {"still_running"}
    assert {answer.json()["reservation_id"] for answer in done} == {again.json()["reservation_id"]}
    assert again.headers["idempotency-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len((await kim.get("/reservations"))["items"]) == 1


async def test_cancelling_a_hundred_times_at_once_is_cancelling_once(ticketing: Ticketing, kim: Person) -> None:
    reservation = await kim.reserve(await ticketing.ticket())
    path = f"/reservations/{reservation['reservation_id']}"

    answers = await asyncio.gather(*(kim.send("POST", f"{path}/cancellation", {}) for _ in range(100)))

    assert {answer.status_code for answer in answers} == {200}
    await kim.wait_for(path, status="CANCELLED", version=4)
    await ticketing.system.wait_until_idle()
    cancelled = "ticketing.reservations.reservation_cancelled"
    assert len(ticketing.system.events_of(cancelled, reservation_id=reservation["reservation_id"])) == 1
    names = await ticketing.ticket_events(reservation["ticket_id"])
    assert [names.count(name) for name in ("ticket_taken", "ticket_freed", "hold_released")] == [1, 1, 1]


async def test_a_reservation_whose_answer_is_forgotten_is_answered_as_it_is(ticketing: Ticketing, kim: Person) -> None:
    ticket = await ticketing.ticket()
    wish = ReserveTicket(ticket_id=ticket["ticket_id"], caller=kim.caller)

    first, again = await ticketing.system.again_with_an_old_key(RESERVATIONS, wish)

    assert again == first
