"""The whole system with its gateway on a port, and headless Chromium."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from pydantic import SecretStr

from gateway_api.app import build
from tests.conftest import MakeSettings
from tests.support.system import System
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.rpc import RpcClient

CHROMIUM = "/usr/bin/chromium"
AXE = Path(__file__).parent / "axe-core" / "axe.min.js"
KEY = "a-key-for-tests-that-has-at-least-32-bytes"
LONGEST_WAIT_MS = 15_000
PATIENT = {
    "jwt_key": SecretStr(KEY),
    "gateway_rate": 0,
    "payments_provider_ms": 1500,
    "payments_slow_seconds": 4,
    "video_rental_payment_ms": 2500,
    "preorder_payment_ms": 2500,
    "bike_sharing_payment_ms": 2500,
    "cafe_price_ms": 3000,
    "shop_preparing_seconds": 0.2,
}
"""Long enough for a busy machine; `tok_slow` is slower."""


@dataclass(frozen=True)
class LiveSystem:
    """A system with its gateway."""

    system: System
    url: str


@pytest.fixture(scope="module")
async def city(make_settings: MakeSettings) -> AsyncIterator[LiveSystem]:
    system = await System(await make_settings(**PATIENT)).open()
    await system.start(*system.names)
    broker = Broker(system.settings.amqp_url.get_secret_value(), "gateway")
    app = build(RpcClient(broker, system.settings), system.settings, broker=broker)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(30):
        while not server.started or not app.state.gateway.readiness()["broker"]:
            await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield LiveSystem(system, f"http://127.0.0.1:{port}")
    app.state.gateway.draining = True
    server.should_exit = True
    with suppress(asyncio.CancelledError):
        await serving
    await system.close()


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


class MemberPage:
    """A member with a browser page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.set_default_timeout(LONGEST_WAIT_MS)
        page.on("console", lambda line: self._note(line.type, line.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"a script spoke: {dialog.message}"))
        page.on("request", lambda request: self._foreign(request.url))

    def _note(self, kind: str, text: str) -> None:
        refused = re.search(r"the server responded with a status of (4\d\d|50[34])", text)
        if kind in ("error", "warning") and not refused:
            self.complaints.append(text)

    def _foreign(self, url: str) -> None:
        if not url.startswith((self.url, "data:")):
            self.complaints.append(f"a request left the host: {url}")

    async def go(self, path: str) -> None:
        await self.page.goto(self.url + path)

    async def sign_in(self, person: str) -> None:
        await self.go("/sign-in")
        await self.page.locator(f"button[value={person}]").click()
        await self.page.locator(".who .name").wait_for()

    async def sign_in_as(self, member: str) -> None:
        """Sign in as a customer with any name."""
        await self.go("/sign-in")
        await self.fill(subject=member)
        await self.page.locator("form.sheet button").click()
        await self.page.locator(".who .name").wait_for()

    async def press(self, name: str, *, within: str = "main") -> None:
        """Press a button or a link whose name begins with this text."""
        pattern = re.compile(rf"^{re.escape(name)}")
        place = self.page.locator(within)
        both = place.get_by_role("button", name=pattern).or_(place.get_by_role("link", name=pattern))
        await both.first.click()

    async def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            await self.page.locator(f"[name={name}]").fill(value)

    async def pay_with(self, token: str) -> None:
        await self.page.locator(f"input[value={token}]").check()

    async def sees(self, text: str, *, within_ms: int = LONGEST_WAIT_MS) -> None:
        await self.page.locator("main").get_by_text(text).first.wait_for(timeout=within_ms)

    async def is_live(self) -> None:
        await self.page.locator("body[data-live=on]").wait_for()

    async def axe(self) -> list[str]:
        """List the accessibility violations that axe-core finds on the page."""
        await self.page.evaluate(f"{AXE.read_text()};0")
        found = await self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{violation['id']}: {node['html'][:120]}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    async def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        return int(await self.page.evaluate("document.scrollingElement.scrollWidth - innerWidth"))


OpenBrowser = Callable[..., Awaitable[MemberPage]]


@pytest.fixture
async def arrive(city: LiveSystem, chromium: Browser) -> AsyncIterator[OpenBrowser]:
    """Open browsers for members; none of them may have logged an error in the end."""
    open_ones: list[tuple[BrowserContext, MemberPage]] = []

    async def arrive_(person: str = "", width: int = 1280, language: str = "en-US", **more: Any) -> MemberPage:
        options: dict[str, Any] = {"viewport": {"width": width, "height": 800}, "locale": language, **more}
        context = await chromium.new_context(**options)
        someone = MemberPage(await context.new_page(), city.url)
        open_ones.append((context, someone))
        if person:
            await someone.sign_in(person)
        return someone

    yield arrive_
    complaints = [complaint for _, someone in open_ones for complaint in someone.complaints]
    for context, _ in open_ones:
        await context.close()
    assert complaints == []
