"""A menu that is slow or gone: try again shortly, never sold out, and nothing remains; the breaker opens and closes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.base import Caller
from contracts.cafe.menu import ListMenu, QuotePrice
from contracts.cafe.orders import ListOrders
from tests.cafe.conftest import PATIENT, Door, cafe_with
from tests.cafe.words import MENU, ORDERS, SOLD_OUT, Thing, attempt, item_known_to_orders, order_of, orders_of
from tests.conftest import MakeSettings
from tests.support.system import System, eventually
from workers.runtime.delays import delays
from workers.runtime.messaging.breaker import CircuitBreaker
from workers.runtime.messaging.rpc import RpcReply
from workers.runtime.settings import Settings

BEYOND, WITHIN = "cafe.menu=700", "cafe.menu=400-600"
WINDOW = 20


@pytest.fixture(scope="module")
async def open_system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """The time for a price is what it is without any setting."""
    as_ever = Settings.model_fields["cafe_price_ms"].default
    async with cafe_with(make_settings, **(PATIENT | {"cafe_price_ms": as_ever})) as running:
        yield running


@pytest.fixture
async def system(open_system: System) -> AsyncIterator[System]:
    """A café in which the menu is there and quick, and is known to be, when a story begins."""
    yield open_system
    if MENU not in open_system.contexts:
        await open_system.start(MENU)
    slowed(open_system, "")
    await eventually(lambda: _is_done(open_system, ListMenu()))
    item = await item_known_to_orders(open_system)
    assert (await attempt(open_system, order_of(item)))[0] == "done"
    breaker(open_system)._recent.clear()


async def _is_done(system: System, wish: ListMenu) -> bool:
    return (await system.request(wish, within=1.0, budget=0.8)).kind == "done"


def slowed(system: System, delay_ms: str) -> None:
    """What `YEYAK_DELAY_MS` does to a process."""
    menu: Any = system.contexts[MENU]
    menu._delay = delays(delay_ms).get(MENU)


def breaker(system: System) -> CircuitBreaker:
    """The breaker of orders for the menu."""
    return system.contexts[ORDERS].rpc.breaker(MENU)


async def is_half_open(system: System) -> bool:
    return breaker(system).state == "half_open"


class Quotes:
    """Counts the prices that the menu was asked for, once it has dealt with them."""

    def __init__(self, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(system.contexts[MENU], "on_handled", self._note)

    def _note(self, envelope: Any, verdict: Any, took: float) -> None:
        self.count += envelope.topic == QuotePrice.topic

    async def are(self, count: int) -> bool:
        return self.count == count


async def traces(system: System) -> tuple[int, int, int]:
    """Order rows, inbox rows of orders, numbers given: what an order would leave."""
    row = await system.one(
        ORDERS,
        """select (select count(*) from cafe_orders.orders) as orders,
             (select count(*) from cafe_orders.inbox where topic = 'cafe.orders.place_order') as requests,
             (select coalesce(sum(last), 0) from cafe_orders.pickup_numbers) as numbers""",
    )
    return tuple(row)  # type: ignore[return-value]


async def at_once(system: System, item: Thing, count: int) -> list[RpcReply]:
    return list(await asyncio.gather(*(system.request(order_of(item)) for _ in range(count))))


def counted(replies: list[RpcReply]) -> dict[str, int]:
    kinds = [reply.kind for reply in replies]
    return {kind: kinds.count(kind) for kind in kinds}


async def test_a_silent_menu_is_try_again_shortly_and_nothing_remains_and_the_same_key_orders_later(
    system: System, door: Door, kim: Caller
) -> None:
    item = await item_known_to_orders(system)
    body, before = {"menu_item_id": item["menu_item_id"]}, await traces(system)
    slowed(system, BEYOND)
    started = time.monotonic()

    korean, english = await asyncio.gather(
        door(kim, "POST", "/orders", body, key="tap"), door(kim, "POST", "/orders", body, language="en")
    )

    took = time.monotonic() - started
    assert [(answer.status_code, answer.json()["code"]) for answer in (korean, english)] == [(503, "unavailable")] * 2
    assert "잠시 후 다시 시도해 주세요" in korean.json()["detail"]
    assert "Try again shortly" in english.json()["detail"]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in (korean, english))
    assert 0.6 < took < 2.5
    assert await traces(system) == before
    assert await orders_of(system, kim) == []

    slowed(system, "")
    again = await door(kim, "POST", "/orders", body, key="tap")
    assert (again.status_code, "idempotency-replayed" in again.headers) == (201, False)


async def test_what_the_copy_calls_sold_out_is_refused_at_once_however_slow_the_menu_is(system: System) -> None:
    item = await item_known_to_orders(system, status=SOLD_OUT)
    slowed(system, BEYOND)
    started = time.monotonic()

    refusal = await system.refused(order_of(item))

    assert refusal == {"code": "sold_out"}
    assert time.monotonic() - started < 0.6


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_menu_that_is_gone_is_try_again_shortly_and_never_sold_out(
    system: System, door: Door, kim: Caller, end: str
) -> None:
    item = await item_known_to_orders(system)
    before = await traces(system)
    await getattr(system, end)(MENU)
    system.expected.discard(MENU)

    async def refused_at_once() -> bool:
        began = time.monotonic()
        answer = await door(kim, "POST", "/orders", {"menu_item_id": item["menu_item_id"]})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        return time.monotonic() - began < 0.3

    await eventually(refused_at_once)
    assert await traces(system) == before
    await system.start(MENU)
    assert (await attempt(system, order_of(item, kim)))[0] == "done"


async def test_the_breaker_opens_under_a_run_of_silences_and_one_probe_closes_it(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, quotes = await item_known_to_orders(system), Quotes(system, monkeypatch)
    before = await traces(system)
    slowed(system, BEYOND)

    silent = await at_once(system, item, WINDOW // 2)

    assert counted(silent) == {"unavailable": WINDOW // 2}
    assert breaker(system).state == "open"
    started = time.monotonic()
    shut = await system.request(order_of(item))
    assert (shut.kind, time.monotonic() - started < 0.3) == ("unavailable", True)
    assert (await system.done(ListOrders()))["items"] is not None  # the door of orders itself is open
    await eventually(lambda: quotes.are(WINDOW // 2))

    # a probe that hears nothing opens it again, and is the only one that asks
    await eventually(lambda: is_half_open(system), every=0.01)
    assert counted(await at_once(system, item, 10)) == {"unavailable": 10}
    assert breaker(system).state in ("open", "half_open")
    await eventually(lambda: quotes.are(WINDOW // 2 + 1))
    assert await traces(system) == before

    # a probe that is answered closes it, and is the only one that asks meanwhile
    slowed(system, "cafe.menu=250")
    await eventually(lambda: is_half_open(system), every=0.01)
    assert counted(await at_once(system, item, 10)) == {"done": 1, "unavailable": 9}
    assert quotes.count == WINDOW // 2 + 2
    assert breaker(system).state == "closed"
    assert counted(await at_once(system, item, 10)) == {"done": 10}


async def test_the_breaker_stays_shut_while_the_menu_takes_most_of_the_time_it_has(system: System) -> None:
    item = await item_known_to_orders(system)
    slowed(system, WITHIN)
    codes: list[str] = []

    for _ in range(8):
        codes += [reply.kind for reply in await at_once(system, item, 3)]
        assert breaker(system).state == "closed"

    assert len(codes) > WINDOW
    assert set(codes) <= {"done", "unavailable"}
    assert codes.count("done") > len(codes) / 2


def test_the_drill_is_a_setting_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YEYAK_DELAY_MS", WITHIN)
    monkeypatch.setenv("YEYAK_CAFE_PRICE_MS", "900")

    assert (Settings().delay_ms, Settings().cafe_price_ms) == (WITHIN, 900)
    assert Settings.model_fields["cafe_price_ms"].default == 610
