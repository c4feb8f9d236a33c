"""Reserving and cancelling, over HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import uuid4

import httpx
import pytest

from tests.ticketing.words import RESERVATIONS, TICKETS, Box, Person, Thing


async def test_a_member_reserves_a_ticket_at_its_price(box: Box, kim: Person) -> None:
    ticket = await box.ticket(base_price=12_000)

    reservation = await kim.reserve(ticket)

    assert (reservation["status"], reservation["member_id"]) == ("RESERVED", kim.name)
    assert reservation["price"] == {"base": 12_000, "lines": [], "total": 12_000, "grade": "STANDARD"}
    assert await kim.get(f"/reservations/{reservation['reservation_id']}") == reservation
    assert (await kim.get(f"/tickets/{ticket['ticket_id']}"))["status"] == "RESERVED"
    await box.system.wait_until_idle()
    assert box.told_of(RESERVATIONS, "reservation_id", reservation["reservation_id"]) == [
        "reservation_started",
        "ticket_reserved",
    ]


async def test_of_a_hundred_members_one_has_the_ticket(box: Box) -> None:
    ticket = await box.ticket()
    body = {"ticket_id": ticket["ticket_id"]}

    async def insist(member: Person, key: str) -> httpx.Response:
        """On a busy machine an outcome may not be known in time: the same key tells it."""
        while True:
            answer = await member.ask("POST", "/reservations", body, key=key)
            if answer.status_code != 504:
                return answer

    answers = await asyncio.gather(*(insist(box.member(), str(number)) for number in range(100)))

    came = Counter((answer.status_code, answer.json().get("code")) for answer in answers)
    assert came == {(201, None): 1, (409, "ticket_not_available"): 99}
    everything = await box.staff.get("/reservations?limit=200")
    of_ticket = Counter(one["status"] for one in everything["items"] if one["ticket_id"] == ticket["ticket_id"])
    assert of_ticket == {"RESERVED": 1, "REJECTED": 99}


async def test_a_cancelled_reservation_frees_the_ticket_and_restores_its_price(
    box: Box, kim: Person, lee: Person
) -> None:
    ticket = await box.ticket()
    reservation = await kim.reserve(ticket)
    path = f"/reservations/{reservation['reservation_id']}"

    cancelling = await kim.post(f"{path}/cancellation", {"reason": "no time"}, expect=200)

    assert (cancelling["status"], cancelling["reason"]) == ("CANCELLING", "no time")
    cancelled = await kim.sees(path, status="CANCELLED", reason="no time", version=4)
    assert cancelled["price"] == reservation["price"]
    await kim.sees(f"/tickets/{ticket['ticket_id']}", status="AVAILABLE")
    assert (await lee.reserve(ticket))["status"] == "RESERVED"


async def test_cancelling_again_changes_nothing(box: Box, kim: Person, lee: Person) -> None:
    ticket = await box.ticket()
    reservation = await kim.reserve(ticket)
    path = f"/reservations/{reservation['reservation_id']}"
    await kim.cancel(reservation)
    cancelled = await kim.sees(path, status="CANCELLED")
    other = await lee.reserve(ticket)

    again = await kim.cancel(reservation)
    await box.system.wait_until_idle()

    assert again == cancelled
    assert (await lee.get(f"/reservations/{other['reservation_id']}"))["status"] == "RESERVED"
    assert (await lee.get(f"/tickets/{ticket['ticket_id']}"))["status"] == "RESERVED"


async def test_a_rejected_reservation_stays_visible_and_cannot_be_cancelled(box: Box, kim: Person, lee: Person) -> None:
    ticket = await box.ticket()
    await kim.reserve(ticket)

    refusal = await lee.reserve(ticket, expect=409)

    assert (refusal["code"], refusal["current_status"]) == ("ticket_not_available", "REJECTED")
    rejected = await lee.get(f"/reservations/{refusal['reservation_id']}")
    assert (rejected["status"], rejected["reason"]) == ("REJECTED", "ticket_not_available")
    no = await lee.cancel(rejected, expect=409)
    assert (no["code"], no["current_status"]) == ("wrong_state", "REJECTED")


async def test_a_list_shows_what_is_ones_own_and_can_be_narrowed(box: Box, kim: Person, lee: Person) -> None:
    tickets = [await box.ticket() for _ in range(3)]
    mine = [(await kim.reserve(ticket))["reservation_id"] for ticket in tickets]
    await lee.reserve(tickets[0], expect=409)
    await kim.post(f"/reservations/{mine[0]}/cancellation", {}, expect=200)
    await kim.sees(f"/reservations/{mine[0]}", status="CANCELLED")

    def ids(page: Thing) -> list[str]:
        return [one["reservation_id"] for one in page["items"]]

    first = await kim.get("/reservations?limit=2")
    rest = await kim.get(f"/reservations?limit=2&cursor={first['next_cursor']}")
    assert ids(first) + ids(rest) == mine[::-1]
    assert rest["next_cursor"] is None
    assert ids(await kim.get("/reservations?status=CANCELLED")) == mine[:1]
    assert ids(await box.staff.get(f"/reservations?member_id={kim.name}")) == mine[::-1]
    assert (await kim.ask("GET", f"/reservations?member_id={lee.name}")).status_code == 403


@pytest.mark.parametrize("action", ["GET", "cancel", "board"])
async def test_another_members_reservation_does_not_exist(box: Box, kim: Person, lee: Person, action: str) -> None:
    reservation = await kim.reserve(await box.ticket())
    path = f"/reservations/{reservation['reservation_id']}"

    if action == "board":
        answer = await lee.ask("GET", f"/board/{reservation['reservation_id']}")
    else:
        answer = await lee.ask("GET" if action == "GET" else "POST", path + "/cancellation" * (action == "cancel"))

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await kim.get(path))["version"] == reservation["version"]


async def test_staff_may_cancel_for_a_member(box: Box, kim: Person) -> None:
    reservation = await kim.reserve(await box.ticket())

    await box.staff.cancel(reservation)

    await kim.sees(f"/reservations/{reservation['reservation_id']}", status="CANCELLED", reason="cancelled_by_staff")


async def test_an_unknown_ticket_is_not_found(box: Box, kim: Person) -> None:
    for body in ({"ticket_id": str(uuid4())}, {"ticket_id": str(uuid4())}):
        assert (await kim.post("/reservations", body, expect=404))["code"] == "not_found"


async def test_the_same_key_again_is_the_first_answer_and_fifty_at_once_are_one_reservation(
    box: Box, kim: Person
) -> None:
    ticket, key = await box.ticket(), str(uuid4())
    body = {"ticket_id": ticket["ticket_id"]}

    answers = await asyncio.gather(*(kim.ask("POST", "/reservations", body, key=key) for _ in range(50)))
    again = await kim.ask("POST", "/reservations", body, key=key)
    other = await kim.ask("POST", "/reservations", {"ticket_id": str(uuid4())}, key=key)

    done = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {answer.json().get("code") for answer in answers if answer.status_code == 409} <= {"still_running"}
    assert {answer.json()["reservation_id"] for answer in done} == {again.json()["reservation_id"]}
    assert again.headers["idempotency-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len((await kim.get("/reservations"))["items"]) == 1


async def test_cancelling_a_hundred_times_at_once_is_cancelling_once(box: Box, kim: Person) -> None:
    reservation = await kim.reserve(await box.ticket())
    path = f"/reservations/{reservation['reservation_id']}"

    answers = await asyncio.gather(*(kim.ask("POST", f"{path}/cancellation", {}) for _ in range(100)))

    assert {answer.status_code for answer in answers} == {200}
    await kim.sees(path, status="CANCELLED", version=4)
    await box.system.wait_until_idle()
    told = [topic for topic, body in box.system.events if body.get("reservation_id") == reservation["reservation_id"]]
    assert Counter(told)["ticketing.reservations.reservation_cancelled"] == 1
    told = box.told_of(TICKETS, "ticket_id", reservation["ticket_id"])
    assert [told.count(name) for name in ("ticket_taken", "ticket_freed", "hold_released")] == [1, 1, 1]
