"""A menu that is slow or stopped: orders are unavailable and store nothing; the circuit breaker opens and closes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.base import Caller
from contracts.cafe.menu import ListMenu, QuotePrice
from contracts.cafe.orders import ListOrders
from ops.settings import SystemSettings
from tests.cafe.conftest import Send, system_with
from tests.cafe.helpers import MENU, ORDERS, SOLD_OUT, known_item, orders_of, place_order
from tests.conftest import MakeSettings
from tests.support.system import Json, System, eventually
from workers.runtime.delays import delays
from workers.runtime.messaging.breaker import CircuitBreaker
from workers.runtime.messaging.rpc import RpcReply

TOO_SLOW, SLOW = "cafe.menu=700", "cafe.menu=400-600"
WINDOW = 20
DEFAULT_MS = SystemSettings.model_fields["cafe_price_ms"].default


@pytest.fixture(scope="module")
async def open_system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """A café with the default time limit of a price query."""
    async with system_with(make_settings, cafe_price_ms=DEFAULT_MS) as running:
        yield running


@pytest.fixture
async def system(open_system: System) -> AsyncIterator[System]:
    """A café whose menu runs without a delay and whose breaker is closed when a test begins."""
    yield open_system
    await open_system.start_stopped(MENU)
    delay(open_system, "")
    await open_system.wait_for_reply(ListMenu(), "done")
    item = await known_item(open_system)
    assert (await open_system.outcome(place_order(item)))[0] == "done"
    breaker(open_system)._recent.clear()


def delay(system: System, delay_ms: str) -> None:
    """Delay the menu as `YEYAK_DELAY_MS` delays a process."""
    menu: Any = system.contexts[MENU]
    menu._delay = delays(delay_ms).get(MENU)


def breaker(system: System) -> CircuitBreaker:
    """The breaker that orders has for the menu."""
    return system.contexts[ORDERS].rpc.breaker(MENU)


async def is_half_open(system: System) -> bool:
    return breaker(system).state == "half_open"


class Quotes:
    """Counts the price queries that the menu has handled."""

    def __init__(self, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(system.contexts[MENU], "on_handled", self._note)

    def _note(self, envelope: Any, verdict: Any, took: float) -> None:
        self.count += envelope.topic == QuotePrice.topic

    async def are(self, count: int) -> bool:
        return self.count == count


async def stored(system: System) -> tuple[int, int, int]:
    """Counts of what an order stores: order rows, inbox rows of orders, pickup numbers."""
    row = await system.one(
        ORDERS,
        """select (select count(*) from cafe_orders.orders) as orders,
             (select count(*) from cafe_orders.inbox where topic = 'cafe.orders.place_order') as requests,
             (select coalesce(sum(last), 0) from cafe_orders.pickup_numbers) as numbers""",
    )
    return tuple(row)  # type: ignore[return-value]


async def at_once(system: System, item: Json, count: int) -> list[RpcReply]:
    return list(await asyncio.gather(*(system.request(place_order(item)) for _ in range(count))))


def counted(replies: list[RpcReply]) -> dict[str, int]:
    kinds = [reply.kind for reply in replies]
    return {kind: kinds.count(kind) for kind in kinds}


async def test_a_slow_menu_makes_orders_unavailable_stores_nothing_and_the_same_key_orders_later(
    system: System, send: Send, kim: Caller
) -> None:
    item = await known_item(system)
    body, before = {"menu_item_id": item["menu_item_id"]}, await stored(system)
    delay(system, TOO_SLOW)
    started = time.monotonic()

    korean, english = await asyncio.gather(
        send(kim, "POST", "/orders", body, key="tap"), send(kim, "POST", "/orders", body, language="en")
    )

    took = time.monotonic() - started
    assert [(answer.status_code, answer.json()["code"]) for answer in (korean, english)] == [(503, "unavailable")] * 2
    assert "잠시 후 다시 시도해 주세요" in korean.json()["detail"]
    assert "Try again shortly" in english.json()["detail"]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in (korean, english))
    assert 0.6 < took < 2.5
    assert await stored(system) == before
    assert await orders_of(system, kim) == []

    delay(system, "")
    again = await send(kim, "POST", "/orders", body, key="tap")
    assert (again.status_code, "idempotency-replayed" in again.headers) == (201, False)


async def test_an_item_known_as_sold_out_is_refused_at_once_however_slow_the_menu_is(system: System) -> None:
    item = await known_item(system, status=SOLD_OUT)
    delay(system, TOO_SLOW)
    started = time.monotonic()

    refusal = await system.refused(place_order(item))

    assert refusal == {"code": "sold_out"}
    assert time.monotonic() - started < 0.6


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_stopped_menu_makes_orders_unavailable_and_never_sold_out(
    system: System, send: Send, kim: Caller, end: str
) -> None:
    item = await known_item(system)
    before = await stored(system)
    await getattr(system, end)(MENU)
    system.expected.discard(MENU)

    async def refused_at_once() -> bool:
        began = time.monotonic()
        answer = await send(kim, "POST", "/orders", {"menu_item_id": item["menu_item_id"]})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        return time.monotonic() - began < 0.3

    await eventually(refused_at_once)
    assert await stored(system) == before
    await system.start(MENU)
    assert (await system.outcome(place_order(item, kim)))[0] == "done"


async def test_the_breaker_opens_after_unanswered_queries_and_one_probe_closes_it(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, quotes = await known_item(system), Quotes(system, monkeypatch)
    before = await stored(system)
    delay(system, TOO_SLOW)

    unanswered = await at_once(system, item, WINDOW // 2)

    assert counted(unanswered) == {"unavailable": WINDOW // 2}
    assert breaker(system).state == "open"
    started = time.monotonic()
    refused = await system.request(place_order(item))
    assert (refused.kind, time.monotonic() - started < 0.3) == ("unavailable", True)
    await system.done(ListOrders())  # orders itself is available
    await eventually(lambda: quotes.are(WINDOW // 2))

    # a probe without an answer opens it again, and is the only query that is sent
    await eventually(lambda: is_half_open(system), every=0.01)
    assert counted(await at_once(system, item, 10)) == {"unavailable": 10}
    assert breaker(system).state in ("open", "half_open")
    await eventually(lambda: quotes.are(WINDOW // 2 + 1))
    assert await stored(system) == before

    # a probe with an answer closes it, and is the only query that is sent meanwhile
    delay(system, "cafe.menu=250")
    await eventually(lambda: is_half_open(system), every=0.01)
    assert counted(await at_once(system, item, 10)) == {"done": 1, "unavailable": 9}
    assert quotes.count == WINDOW // 2 + 2
    assert breaker(system).state == "closed"
    assert counted(await at_once(system, item, 10)) == {"done": 10}


async def test_the_breaker_stays_closed_while_the_menu_is_slow_but_in_time(system: System) -> None:
    item = await known_item(system)
    delay(system, SLOW)
    codes: list[str] = []

    for _ in range(8):
        codes += [reply.kind for reply in await at_once(system, item, 3)]
        assert breaker(system).state == "closed"

    assert len(codes) > WINDOW
    assert set(codes) <= {"done", "unavailable"}
    assert codes.count("done") > len(codes) / 2


def test_delays_and_time_limits_are_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YEYAK_DELAY_MS", SLOW)
    monkeypatch.setenv("YEYAK_CAFE_PRICE_MS", "900")

    assert (SystemSettings().delay_ms, SystemSettings().cafe_price_ms) == (SLOW, 900)
    assert SystemSettings.model_fields["cafe_price_ms"].default == 610
