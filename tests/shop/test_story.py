"""The demo's story of the shop, over HTTP on a real town, which keeps its promises after it."""

from __future__ import annotations

import asyncio

import httpx
from pydantic import SecretStr

from gateway_api.app import build
from ops.audit import audit, unrest
from ops.stories import shop
from ops.stories.stage import Line, Stage, issuer
from tests.conftest import MakeSettings
from tests.shop.conftest import town_with
from workers.town import CONTEXTS

KEY = SecretStr("a key of more than thirty-two bytes, for tests")


async def test_the_story_of_the_shop(make_settings: MakeSettings) -> None:
    lines: list[Line] = []
    async with town_with(make_settings, "journal", jwt_key=KEY, gateway_rate=0) as town:
        away = [name for name in CONTEXTS if name not in town.contexts]
        door = httpx.ASGITransport(build(town._asker, town.settings))
        async with httpx.AsyncClient(base_url="http://door", transport=door, timeout=30) as http:
            # twice, and at once: it may be played again and again
            stories = [Stage(http, town.settings, issuer(town.settings), lines.append) for _ in range(2)]
            await asyncio.gather(*map(shop.play, stories))

        assert await unrest(town.settings, within=20, without=away) == []
        assert not any((await audit(town.settings, without=away)).values())
    assert {line.http for line in lines} >= {"POST 201", "POST 200", "POST 409", "GET 200"}
