"""A session that ends on one gateway ends on all, also on one that starts later; on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import httpx
import pytest
from starlette.applications import Starlette

from gateway_api.app import build
from gateway_api.console import ended_sessions
from ops.settings import SystemSettings
from tests.console.conftest import Browser
from tests.gateway_api.conftest import KEY, FakeRpcClient
from tests.support import servers as support
from tests.support.proxy import Proxy
from tests.support.servers import Servers
from tests.support.system import eventually
from workers.runtime.messaging import topology
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.exchanges import SESSION_STREAM, SESSIONS


@pytest.fixture(scope="module")
async def url(servers: Servers) -> AsyncIterator[str]:
    amqp_url = await support.create_vhost(servers)
    await topology.apply(amqp_url, topology.plan([]))
    yield amqp_url
    await support.delete_vhost(servers, amqp_url)


class GatewayBrowser(Browser):
    """A browser that reaches one gateway, past the balancer."""

    app: Starlette

    async def has_open_page(self) -> bool:
        return bool(self.app.state.gateway.console.live._viewers)


@asynccontextmanager
async def gateway(url: str, rpc: FakeRpcClient) -> AsyncIterator[GatewayBrowser]:
    """Run another gateway; yields a browser that reaches it."""
    settings = SystemSettings(amqp_url=url, jwt_key=KEY, gateway_rate=0)
    app = build(rpc, settings, broker=Broker(url, "gateway"))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        language = {"accept-language": "en"}
        async with GatewayBrowser(transport=transport, base_url="http://localhost", headers=language) as one:
            one.app = app
            await eventually(lambda: _is_connected(one))
            yield one


async def _is_connected(browser: Browser) -> bool:
    return (await browser.get("/ready")).status_code == 200


def cookies(browser: Browser) -> dict[str, str]:
    return {"cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar)}


async def is_refused(browser: Browser, stolen: dict[str, str]) -> bool:
    return (await browser.get("/mine", headers=stolen)).status_code == 303


async def is_accepted(browser: Browser, stolen: dict[str, str]) -> bool:
    return (await browser.get("/mine", headers=stolen)).status_code == 200


async def is_unknown(browser: Browser, stolen: dict[str, str]) -> bool:
    return (await browser.get("/mine", headers=stolen)).status_code == 503


async def sign_in_and_out(browser: Browser) -> dict[str, str]:
    """Return the cookies of a session that has ended."""
    await browser.sign_in("kim")
    stolen = cookies(browser)
    await browser.look("/sign-in")
    assert (await browser.submit("/sign-out")).status_code == 303
    return stolen


async def test_a_copied_cookie_does_not_work_on_another_gateway_after_sign_out(url, rpc):
    async with gateway(url, rpc) as first, gateway(url, rpc) as second:
        await first.sign_in("kim")
        stolen = cookies(first)
        assert not await is_refused(second, stolen)

        await first.look("/sign-in")
        await first.submit("/sign-out")

        assert await is_refused(first, stolen)
        assert await eventually(lambda: is_refused(second, stolen))


async def test_a_copied_cookie_does_not_work_on_a_gateway_that_started_after_sign_out(url, rpc):
    async with gateway(url, rpc) as first:
        stolen = await sign_in_and_out(first)

    async with gateway(url, rpc) as restarted:
        assert await is_refused(restarted, stolen)


async def test_other_sessions_go_on_after_a_restart(url, rpc):
    async with gateway(url, rpc) as first:
        await sign_in_and_out(first)
        await first.sign_in("kim")
        kept = cookies(first)

    async with gateway(url, rpc) as restarted:
        assert not await is_refused(restarted, kept)


async def test_an_open_page_hears_that_its_session_ended_on_another_gateway(url, rpc):
    async with gateway(url, rpc) as first, gateway(url, rpc) as second:
        await first.sign_in("kim")
        page = cookies(first)
        await first.look("/sign-in")
        ending = asyncio.create_task(second.get("/events", headers=page))
        await eventually(second.has_open_page)
        await first.submit("/sign-out")

        async with asyncio.timeout(30):
            stream = await ending

        assert stream.text.endswith("event: refresh\ndata: refresh\n\n")


async def test_a_gateway_that_was_cut_off_accepts_no_session_before_it_knows_who_signed_out(url, rpc, monkeypatch):
    monkeypatch.setattr(ended_sessions, "WAIT_SECONDS", 0.2)
    proxy = await Proxy(url).mend()
    async with gateway(proxy.url, rpc) as apart, gateway(url, rpc) as other:
        await other.sign_in("kim")
        stolen = cookies(other)
        await eventually(lambda: is_accepted(apart, stolen))

        await proxy.cut()
        await eventually(lambda: is_unknown(apart, stolen))
        await other.look("/sign-in")
        await other.submit("/sign-out")
        assert await is_unknown(apart, stolen)
        await proxy.mend()

        seen = {(await apart.get("/mine", headers=stolen)).status_code for _ in range(3)}
        assert await eventually(lambda: is_refused(apart, stolen), within=30)
        assert seen <= {303, 503}
    await proxy.cut()


async def test_an_end_that_no_gateway_could_be_told_is_not_claimed(servers, rpc):
    """The stream is gone: the session stays, on every gateway, and the person is told."""
    lost = await support.create_vhost(servers)
    await topology.apply(lost, topology.plan([]))
    async with gateway(lost, rpc) as first:
        await first.sign_in("kim")
        assert not await is_refused(first, cookies(first))
        await first.look("/sign-in")
        connection = await aio_pika.connect(lost)
        async with connection:
            await (await connection.channel()).queue_delete(SESSION_STREAM)

        answer = await first.submit("/sign-out")

        assert answer.status_code == 503
        assert cookies(first)["cookie"]
    await support.delete_vhost(servers, lost)


async def test_what_is_not_readable_in_the_stream_stops_nobody(url, rpc):
    connection = await aio_pika.connect(url)
    async with connection:
        exchange = await (await connection.channel()).get_exchange(SESSIONS)
        huge = b'{"session": "x", "ends_at": 1' + b"0" * 400 + b"}"
        for body in (
            b"",
            b"[]",
            b"7",
            b'{"session": 1}',
            b'{"session": "x", "ends_at": null}',
            b"\xff",
            huge,
            b"[" * 5000,
        ):
            await exchange.publish(aio_pika.Message(body), ended_sessions.ROUTING_KEY)

    async with gateway(url, rpc) as first:
        stolen = await sign_in_and_out(first)

        assert await is_refused(first, stolen)
