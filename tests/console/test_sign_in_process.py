"""Sign-in over real sockets: gateway processes that share a broker, and requests that no browser would send."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from tests.console.conftest import Browser
from tests.gateway_api.conftest import KEY
from tests.support import servers as support
from tests.support.processes import free_port
from tests.support.servers import Servers
from tests.support.system import eventually
from workers.runtime.messaging import topology

Start = Callable[..., Awaitable[Browser]]


@pytest.fixture(scope="module")
async def url(servers: Servers) -> AsyncIterator[str]:
    amqp_url = await support.create_vhost(servers)
    await topology.apply(amqp_url, topology.plan([]))
    yield amqp_url
    await support.delete_vhost(servers, amqp_url)


class ProcessBrowser(Browser):
    """A browser at the address of a gateway process."""

    process: asyncio.subprocess.Process

    async def is_ready(self) -> bool:
        try:
            return (await self.get("/ready")).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
async def start(url: str) -> AsyncIterator[Start]:
    """Start gateway processes."""
    started: list[ProcessBrowser] = []

    async def make(**settings: str) -> ProcessBrowser:
        port = free_port()
        environment = {
            **os.environ,
            "YEYAK_JWT_KEY": KEY,
            "YEYAK_AMQP_URL": url,
            "YEYAK_GATEWAY_PORT": str(port),
            **settings,
        }
        browser = ProcessBrowser(base_url=f"http://127.0.0.1:{port}", headers={"accept-language": "en"}, timeout=30)
        browser.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway_api", env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        started.append(browser)
        await eventually(browser.is_ready, within=60)
        return browser

    yield make
    for browser in started:
        await browser.aclose()
        if browser.process.returncode is None:
            browser.process.kill()
        await browser.process.wait()


async def test_a_copied_cookie_works_on_no_process_after_sign_out(start):
    first, second = await asyncio.gather(start(), start())
    await first.sign_in("kim")
    stolen = {"cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in first.cookies.jar)}

    async def is_refused(browser: Browser) -> bool:
        return (await browser.get("/mine", headers=stolen)).status_code == 303

    assert not await is_refused(second)
    await first.look("/sign-in")
    assert (await first.submit("/sign-out")).status_code == 303

    assert await is_refused(first)
    assert await eventually(lambda: is_refused(second))
    second.process.kill()
    assert await is_refused(await start())


async def status_of(browser: Browser, *lines: str) -> int:
    """Send a request as it is, and return the status of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", browser.base_url.port)
    try:
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()


async def test_only_names_of_this_machine_are_answered(start):
    browser = await start()

    async def sent(*lines: str) -> int:
        return await status_of(browser, *lines)

    assert await sent("GET /sign-in HTTP/1.1", "Host: localhost") == 200
    assert await sent("GET /sign-in HTTP/1.1", "Host: evil.example") == 421
    assert await sent("GET /sign-in HTTP/1.1", "Host: localhost", "Host: evil.example") in (400, 421)
    assert await sent("GET /sign-in HTTP/1.1", "Host: evil.example", "Host: localhost") in (400, 421)
    assert await sent("GET /sign-in HTTP/1.1", "Host: evil.example", "X-Forwarded-Host: localhost") == 421
    assert await sent("GET http://localhost/sign-in HTTP/1.1", "Host: evil.example") in (400, 404, 421)
    assert await sent("GET /sign-in HTTP/1.0") in (400, 421)


async def test_nobody_chooses_who_to_be_beside_an_address_that_others_reach(start):
    browser = await start(YEYAK_GATEWAY_HOST="0.0.0.0")

    page = await browser.look("/sign-in")
    answer = await browser.post("/sign-in", data={"csrf": browser.hidden("csrf"), "person": "jung", "next": "/"})

    assert "Local run" not in page.text
    assert answer.status_code == 405
