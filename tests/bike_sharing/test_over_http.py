"""Bike sharing over HTTP: its story, its codes, and requests that are refused before a message is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from ops.stories import bike_sharing
from ops.stories.runner import Answer, Line, Person, StoryRunner, issuer
from tests.bike_sharing.conftest import system_with
from tests.conftest import MakeSettings
from tests.support.gateway import GATEWAY, http_client
from tests.support.system import System, eventually

BASE = "/v1/bike-sharing"
CARD = {"method": "card", "token": "tok_visa", "last4": "4242", "brand": "visa"}
LINES: list[Line] = []


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    async with system_with(make_settings, **GATEWAY) as running:
        yield running


@pytest.fixture
async def runner(system: System) -> AsyncIterator[StoryRunner]:
    async with http_client(system) as http:
        yield StoryRunner(http, system.settings, issuer(system.settings), LINES.append)


@pytest.fixture
def kim(runner: StoryRunner) -> Person:
    return runner.customer("kim")


@pytest.fixture
def staff(runner: StoryRunner) -> Person:
    return runner.staff("lee")


async def registered_bike(staff: Person, **more: Any) -> Answer:
    return await staff.send("POST", f"{BASE}/bikes", {"code": uuid4().hex, "location": "City Hall"} | more)


async def test_the_story_of_bike_sharing_over_http(runner: StoryRunner, system: System) -> None:
    LINES.clear()

    another = StoryRunner(runner.http, runner.settings, runner.sign, LINES.append)
    await asyncio.gather(bike_sharing.play(runner), bike_sharing.play(another))

    assert {line.http for line in LINES} >= {"POST 201", "POST 200", "POST 402", "POST 409", "POST 503", "GET 404"}
    assert any(line.step == "the unanswered payment: nothing is kept" for line in LINES)


async def test_what_is_created_has_a_location_header(kim: Person, staff: Person) -> None:
    bike = await registered_bike(staff)
    topped_up = await kim.send("POST", f"{BASE}/deposits/top-ups", {"amount": 5000, "payment": CARD})
    credited = await staff.send("POST", f"{BASE}/deposits/{kim.name}/credits", {"amount": 1, "reason": "a won"})

    async def ride() -> Answer | None:
        answer = await kim.send("POST", f"{BASE}/rides", {"bike_id": bike.body["bike_id"]})
        return answer if answer.status == 201 else None

    started = await eventually(ride)
    for answer in (bike, topped_up, credited, started):
        assert answer.status == 201
        seen = await kim.send("GET", answer.headers["location"])
        assert seen.status == 200
        assert seen.body.keys() == answer.body.keys()
    assert (topped_up.body["status"], topped_up.body["balance"], credited.body["balance"]) == ("COMPLETED", 5000, 5001)
    bills = await eventually(lambda: _items(kim, "billings?status=OPEN"))
    assert (await kim.send("GET", f"{BASE}/billings/{bills[0]['bill_id']}")).body == bills[0]
    returned = await kim.send("POST", f"{started.headers['location']}/return", {"location": "Han River"})
    assert {"status", "ended_at", "minutes", "fee"} <= returned.body.keys()
    assert (await staff.send("GET", f"{BASE}/deposits/{kim.name}")).status == 200


async def _items(person: Person, path: str) -> list[Any]:
    items: list[Any] = (await person.send("GET", f"{BASE}/{path}")).body["items"]
    return items


async def test_a_code_that_is_taken_and_a_status_that_cannot_be_set_are_refused(staff: Person) -> None:
    first = await registered_bike(staff, status="BROKEN")

    again = await registered_bike(staff, code=first.body["code"])
    held = await registered_bike(staff, status="IN_USE")
    null = await staff.send("PATCH", f"{BASE}/bikes/{first.body['bike_id']}", {"location": None})

    assert (first.status, first.code) == (201, "BROKEN")
    assert (again.status, again.code) == (409, "code_taken")
    assert [(held.status, held.code), (null.status, null.code)] == [(422, "invalid")] * 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("deposits/top-ups", {"amount": 999, "payment": CARD}),
        ("deposits/top-ups", {"amount": 500_001, "payment": CARD}),
        ("deposits/top-ups", {"amount": "1000", "payment": CARD}),
        ("deposits/top-ups", {"amount": 1000, "payment": CARD, "balance": 1}),
        ("rides", {"bike_id": "B1"}),
        ("rides/00000000-0000-4000-8000-000000000000/return", {"location": ""}),
        ("rides/00000000-0000-4000-8000-000000000000/return", {"location": " "}),
        ("rides/00000000-0000-4000-8000-000000000000/return", {"location": "x" * 61}),
        ("rides/00000000-0000-4000-8000-000000000000/return", {}),
    ],
)
async def test_an_invalid_body_is_refused(kim: Person, path: str, body: Any) -> None:
    answer = await kim.send("POST", f"{BASE}/{path}", body)

    assert (answer.status, answer.code) == (422, "invalid")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("deposits/kim/credits", {"amount": 0, "reason": "x"}),
        ("deposits/kim/credits", {"amount": 500_001, "reason": "x"}),
        ("deposits/kim/credits", {"amount": 1, "reason": " "}),
        ("rides/00000000-0000-4000-8000-000000000000/end", {}),
        ("bikes", {"code": "", "location": "x"}),
        ("bikes", {"code": "x", "location": "x" * 61}),
    ],
)
async def test_an_invalid_body_of_staff_is_refused(staff: Person, path: str, body: Any) -> None:
    answer = await staff.send("POST", f"{BASE}/{path}", body)

    assert (answer.status, answer.code) == (422, "invalid")


@pytest.mark.parametrize("name", ["x" * 129, "%00", "nobody", "%ED%A0%80"])
async def test_an_unknown_member_is_not_found(staff: Person, name: str) -> None:
    answer = await staff.send("GET", f"{BASE}/deposits/{name}")

    assert (answer.status, answer.code) == (404, "not_found")


async def test_the_codes_that_refuse_a_ride(kim: Person, staff: Person) -> None:
    bike, broken = await registered_bike(staff), await registered_bike(staff, status="BROKEN")
    unknown = await kim.send("POST", f"{BASE}/rides", {"bike_id": str(uuid4())})
    poor = await kim.send("POST", f"{BASE}/rides", {"bike_id": bike.body["bike_id"]})
    await kim.send("POST", f"{BASE}/deposits/top-ups", {"amount": 5000, "payment": CARD})

    async def refused_as_broken() -> bool:
        answer = await kim.send("POST", f"{BASE}/rides", {"bike_id": broken.body["bike_id"]})
        return (answer.status, answer.code) == (409, "bike_broken")

    await eventually(refused_as_broken)
    ride = await kim.send("POST", f"{BASE}/rides", {"bike_id": bike.body["bike_id"]})
    second = await kim.send("POST", f"{BASE}/rides", {"bike_id": broken.body["bike_id"]})
    hidden = await kim.send("GET", f"{BASE}/bikes/{broken.body['bike_id']}")
    changed = await staff.send("PATCH", f"{BASE}/bikes/{bike.body['bike_id']}", {"location": "Han River"})

    assert (unknown.status, unknown.code) == (404, "not_found")
    assert (poor.status, poor.code) == (409, "deposit_too_low")
    assert ride.status == 201
    assert (second.status, second.code) == (409, "ride_open")
    assert (hidden.status, hidden.code) == (404, "not_found")
    assert (changed.status, changed.code, changed.body["current_status"]) == (409, "wrong_state", "IN_USE")
    await kim.send("POST", f"{ride.headers['location']}/return", {"location": "City Hall"})
