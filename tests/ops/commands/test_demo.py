"""The runner checks every step; each story runs on a real system, whose audit is clean afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from gateway_api.app import build
from ops.audit import audit, pending_work
from ops.commands.demo import printed, stories
from ops.settings import SystemSettings
from ops.stories import runner as runners
from ops.stories.runner import Answer, Line, StoryFailedError, StoryRunner, counted, issuer
from tests.support.system import System
from workers.registry import CONTEXTS

KEY = SecretStr("a key of more than thirty-two bytes, for tests")

Answering = Callable[[httpx.Request], httpx.Response]


class Played:
    """A runner in front of a gateway with fixed answers."""

    def __init__(self, answering: Answering) -> None:
        self.lines: list[Line] = []
        settings = SystemSettings(jwt_key=KEY)
        http = httpx.AsyncClient(base_url="http://gateway", transport=httpx.MockTransport(answering))
        self.runner = StoryRunner(http, settings, issuer(settings), self.lines.append)
        self.kim = self.runner.staff("kim")


def answering_with(status: int, body: dict[str, Any], **headers: str) -> Answering:
    return lambda request: httpx.Response(status, json=body, headers=headers)


async def test_a_step_with_the_expected_outcome_is_a_line() -> None:
    played = Played(answering_with(201, {"status": "BOOKED"}))

    answer = await played.runner.step("kim books", played.kim, "POST", "/x", {}, expect=201, code="BOOKED")

    assert answer.body == {"status": "BOOKED"}
    assert [(line.step, line.http, line.outcome) for line in played.lines] == [("kim books", "POST 201", "BOOKED")]


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"expect": 200}, "expected 200"),
        ({"expect": 409, "code": "already_booked"}, "expected already_booked"),
        ({"expect": 409, "must": lambda answer: "it is too warm"}, "it is too warm"),
    ],
)
async def test_a_step_with_another_outcome_is_named(wish: dict[str, Any], problem: str) -> None:
    played = Played(answering_with(409, {"code": "wrong_state", "status": 409}))

    with pytest.raises(StoryFailedError, match=f"kim books: 409 wrong_state, {problem}"):
        await played.runner.step("kim books", played.kim, "POST", "/x", {}, **wish)

    assert played.lines[-1].outcome == f"wrong_state ({problem})"


async def test_a_gateway_that_does_not_answer_is_named() -> None:
    def no_answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("timed out")

    with pytest.raises(StoryFailedError, match="POST /x was not answered: timed out"):
        await (played := Played(no_answer)).runner.step("kim books", played.kim, "POST", "/x", {})


async def test_waiting_ends_when_the_condition_holds_or_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "PROGRESS_AFTER", 0.05)
    states = iter(["PENDING"] * 4 + ["REFUNDED"])
    played = Played(lambda request: httpx.Response(200, json={"status": next(states, "REFUNDED")}))

    async def look() -> Answer:
        return await played.kim.send("GET", "/x")

    await played.runner.until("the money is back", look, lambda answer: answer.code == "REFUNDED", within=5)
    assert [line.outcome for line in played.lines] == ["not yet: PENDING", "REFUNDED"]

    with pytest.raises(StoryFailedError, match="it rains: not within 0 s, it is 200 REFUNDED"):
        await played.runner.until("it rains", look, lambda answer: False, within=0.1)


async def test_each_run_has_its_own_members() -> None:
    names = {Played(answering_with(200, {})).runner.customer("minji").name for _ in range(5)}

    assert len(names) == 5


def test_without_a_key_nobody_can_sign_in() -> None:
    with pytest.raises(ValueError, match="there is no key to sign with"):
        issuer(SystemSettings())


def test_lines_are_aligned() -> None:
    rows = [
        Line("step", "HTTP", "outcome", -1),
        Line("kim books", "POST 201", "BOOKED", 12.3),
        Line("and", "", "waits", 0),
    ]

    head, first, second = map(printed, rows)

    assert head.index("outcome") == first.index("BOOKED") == second.index("waits")
    assert len(head) == len(first) <= 100
    assert first.endswith(" 12")


def test_repeated_outcomes_are_counted() -> None:
    assert counted(["BOOKED", "CANCELLED", "BOOKED"]) == "2 x BOOKED, CANCELLED"


ANSWERS = {
    "video_rental": {"POST 201", "POST 402", "POST 409", "POST 503", "GET 200"},
    "ticketing": {"POST 201", "POST 409", "DELETE 204", "GET 200"},
    "bike_sharing": {"POST 201", "POST 200", "POST 409", "GET 200"},
    "shop": {"POST 201", "POST 200", "POST 409", "GET 200"},
    "cafe": {"POST 201", "POST 200", "POST 409", "PATCH 200", "PATCH 409", "GET 200", "GET 404"},
    "preorder": {"POST 201", "POST 402", "POST 409", "GET 200"},
}
"""The answers that each story must contain at least, where it is more than a creation and a read."""


@pytest.fixture(scope="module")
async def open_runner(
    make_settings: Callable[..., Awaitable[SystemSettings]],
) -> AsyncIterator[Callable[[list[Line]], StoryRunner]]:
    """Make runners on a system with a gateway; they record each step in a list."""
    settings = await make_settings(jwt_key=KEY, gateway_rate=0, cafe_price_ms=3000)
    system = await System(settings).open()
    await system.start(*CONTEXTS)
    transport = httpx.ASGITransport(build(system.rpc, settings))
    async with httpx.AsyncClient(base_url="http://gateway", transport=transport, timeout=30) as http:
        yield lambda lines: StoryRunner(http, settings, issuer(settings), lines.append)
    await system.close()


@pytest.mark.parametrize("story", stories(), ids=lambda story: story.__name__.rpartition(".")[2])
async def test_each_story_runs_on_a_real_system_and_leaves_it_consistent(
    open_runner: Callable[[list[Line]], StoryRunner], story: ModuleType
) -> None:
    lines: list[Line] = []
    twice = [open_runner(lines) for _ in range(2)]

    await asyncio.gather(*map(story.play, twice))  # concurrently: a story can be repeated

    settings = twice[0].settings
    assert await pending_work(settings, within=20) == []
    assert not any((await audit(settings)).values())
    assert {line.http for line in lines} >= ANSWERS.get(story.__name__.rpartition(".")[2], {"POST 201", "GET 200"})
