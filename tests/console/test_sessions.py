"""Sessions: what their cookie gives away, how they are renewed, and how they end."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import httpx
import pytest

from gateway_api.app import build
from gateway_api.console import ended_sessions, session
from gateway_api.console.session import SESSION, SESSION_PARTS
from ops.settings import SystemSettings
from tests.console.conftest import Browser
from tests.console.issuer import LASTS, Issuer, at_console, sign_in
from tests.gateway_api.conftest import KEY
from workers.runtime.messaging.broker import Broker


class Clock:
    """The time, which can be moved ahead."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer(clock) -> Issuer:
    issuer = Issuer(clock)
    issuer.refresh_token = "refresh-0"
    return issuer


@pytest.fixture
async def kim(issuer, rpc, clock) -> Browser:
    browser = at_console(issuer, rpc, clock)
    await sign_in(browser, issuer)
    return browser


def copy(browser: Browser) -> dict[str, str]:
    """Return the cookies of a browser, as a thief has them."""
    return {"cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar)}


async def is_signed_in(browser: Browser, **more: Any) -> bool:
    return ">kim<" in (await browser.get("/sign-in", **more)).text


async def sign_out(browser: Browser) -> Any:
    await browser.look("/sign-in")
    return await browser.submit("/sign-out")


async def test_no_token_can_be_read_in_the_cookies_of_a_session(kim, issuer):
    for cookie in kim.cookies.jar:
        raw = base64.urlsafe_b64decode(cookie.value + "=" * (-len(cookie.value) % 4))
        assert b"eyJ" not in raw
        assert b"refresh" not in raw
        assert b"kim" not in raw


async def test_a_cookie_that_was_changed_is_no_session(kim):
    sealed = kim.cookies[SESSION]
    for changed in (sealed[:-4] + "AAAA", sealed[:40] + "B" + sealed[41:], sealed * 2, sealed[:100]):
        assert not await is_signed_in(kim, headers={"cookie": f"{SESSION}={changed}"})


async def test_a_copied_cookie_does_not_work_after_sign_out(kim):
    stolen = copy(kim)
    assert await is_signed_in(kim, headers=stolen)

    assert (await sign_out(kim)).status_code == 303

    assert SESSION not in kim.cookies
    assert not await is_signed_in(kim, headers=stolen)


async def test_a_copied_cookie_of_a_local_run_does_not_work_after_sign_out(browser):
    await browser.sign_in("kim")
    stolen = copy(browser)
    assert await is_signed_in(browser, headers=stolen)

    await sign_out(browser)

    assert not await is_signed_in(browser, headers=stolen)
    assert (await browser.get("/events", headers=stolen)).status_code == 204


async def test_signing_out_ends_one_session_and_not_those_of_other_browsers(browser, open_browser):
    await browser.sign_in("kim")
    stolen = copy(browser)
    browser.cookies.clear()
    await browser.sign_in("kim")

    await sign_out(browser)

    assert await is_signed_in(browser, headers=stolen)


async def test_signing_out_revokes_the_refresh_token_at_the_issuer(kim, issuer):
    await sign_out(kim)

    assert issuer.revoked == ["refresh-0"]


async def test_signing_out_does_not_need_the_issuer(kim, issuer):
    stolen = copy(kim)
    issuer.away = True

    assert (await sign_out(kim)).status_code == 303
    assert not await is_signed_in(kim, headers=stolen)


async def test_the_forms_of_a_page_that_shows_a_session_end_with_it(kim):
    await kim.look("/sign-in")
    before = kim.hidden("csrf")
    stolen = copy(kim)
    await sign_out(kim)

    answer = await kim.post("/sign-out", data={"csrf": before}, headers=stolen)

    assert answer.status_code == 403


# -- renewal


async def test_a_session_outlives_its_access_token(kim, issuer, clock):
    await kim.look("/sign-in")
    csrf, first = kim.hidden("csrf"), kim.cookies[SESSION]

    clock.ahead = 3 * LASTS

    assert await is_signed_in(kim)
    assert issuer.refreshed == 1
    assert kim.cookies[SESSION] != first
    assert (await kim.post("/sign-out", data={"csrf": csrf})).status_code == 303


async def test_a_session_is_not_renewed_before_its_time(kim, issuer, clock):
    clock.ahead = LASTS - session.RENEW_AHEAD_SECONDS - 10
    await is_signed_in(kim)
    assert issuer.refreshed == 0

    clock.ahead = LASTS - session.RENEW_AHEAD_SECONDS + 10
    await is_signed_in(kim)
    assert issuer.refreshed == 1


async def test_requests_at_the_same_time_renew_a_session_once(kim, issuer, clock):
    clock.ahead = 2 * LASTS
    old = copy(kim)

    found = await asyncio.gather(*(is_signed_in(kim, headers=old) for _ in range(8)))

    assert found == [True] * 8
    assert issuer.refreshed == 1
    assert await is_signed_in(kim, headers=old)


async def test_a_copied_cookie_does_not_work_after_its_session_was_renewed_and_ended(kim, issuer, clock):
    stolen = copy(kim)
    clock.ahead = 2 * LASTS
    await is_signed_in(kim)

    await sign_out(kim)

    assert issuer.revoked == ["refresh-1"]
    assert not await is_signed_in(kim, headers=stolen)


async def test_a_session_needs_no_issuer_while_its_access_token_lasts(kim, issuer, clock):
    clock.ahead = LASTS - 20
    issuer.away = True

    assert await is_signed_in(kim)


async def test_a_session_waits_for_an_issuer_that_does_not_answer(kim, issuer, clock, monkeypatch):
    monkeypatch.setattr("gateway_api.console.renewals.RETRY_SECONDS", 0.0)
    clock.ahead = 2 * LASTS
    issuer.away = True

    assert (await kim.look("/mine")).status_code == 503
    issuer.away = False
    await asyncio.sleep(0)

    assert await is_signed_in(kim)


@pytest.mark.parametrize("changes", [{"sub": "lee"}, {"role": None}, {"aud": "somebody-else"}, {"long": "x" * 6000}])
async def test_a_renewal_that_is_not_for_this_person_or_too_long_ends_the_session(kim, issuer, clock, changes):
    issuer.access = changes
    clock.ahead = 2 * LASTS

    assert (await kim.look("/mine")).headers["location"] == "/sign-in?next=/mine"


async def test_a_session_that_the_issuer_ended_is_over(kim, issuer, clock):
    issuer.refresh_token = "another"
    clock.ahead = 2 * LASTS

    assert (await kim.look("/mine")).headers["location"] == "/sign-in?next=/mine"


async def test_a_renewal_brings_another_role(kim, issuer, clock):
    issuer.access = {"role": "staff"}
    clock.ahead = 2 * LASTS

    assert (await kim.look("/mine")).status_code == 403


async def test_a_session_without_a_refresh_token_ends_with_its_access_token(rpc, clock):
    issuer = Issuer(clock)
    browser = at_console(issuer, rpc, clock)
    await sign_in(browser, issuer)
    assert await is_signed_in(browser)

    clock.ahead = LASTS + 1

    assert not await is_signed_in(browser)


async def test_a_session_ends_however_often_it_is_renewed(issuer, rpc, clock):
    browser = at_console(issuer, rpc, clock, session_hours=1)
    await sign_in(browser, issuer)
    for clock.ahead in range(LASTS, 3600, LASTS):
        assert await is_signed_in(browser)

    clock.ahead = 3601

    assert not await is_signed_in(browser)


# -- size


async def test_long_tokens_take_two_cookies(issuer, rpc, clock):
    issuer.access = {"groups": ["x" * 60 for _ in range(40)]}
    browser = at_console(issuer, rpc, clock)

    await sign_in(browser, issuer)

    assert set(SESSION_PARTS) <= {cookie.name for cookie in browser.cookies.jar}
    assert await is_signed_in(browser)
    issuer.access = {}
    clock.ahead = 2 * LASTS
    assert await is_signed_in(browser)
    assert SESSION_PARTS[1] not in browser.cookies
    assert await is_signed_in(browser)


async def test_a_session_without_room_for_a_refresh_token_goes_without(issuer, rpc, clock):
    issuer.refresh_token = "r" * 6000
    browser = at_console(issuer, rpc, clock)

    await sign_in(browser, issuer)

    assert await is_signed_in(browser)
    clock.ahead = LASTS + 1
    assert not await is_signed_in(browser)


# -- other gateways


async def test_without_the_other_gateways_nobody_is_signed_out_or_in(browser, rpc, monkeypatch):
    """The broker does not answer: what other gateways say is not known, and they cannot be told."""
    monkeypatch.setattr(ended_sessions, "WAIT_SECONDS", 0.05)
    await browser.sign_in("kim")
    app = build(rpc, SystemSettings(jwt_key=KEY, gateway_rate=0), broker=Broker("amqp://127.0.0.1:1", "gateway"))
    apart = Browser(transport=httpx.ASGITransport(app), base_url="http://localhost", headers={"accept-language": "en"})

    page = await apart.get("/mine", headers=copy(browser))
    out = await apart.post("/sign-out", headers=copy(browser))

    assert (page.status_code, out.status_code) == (503, 503)
    assert "Please try again shortly" in page.text
    assert (await apart.get("/events", headers=copy(browser))).status_code == 503
    assert (await apart.get("/")).status_code == 200
    await app.state.gateway.console.stop()
