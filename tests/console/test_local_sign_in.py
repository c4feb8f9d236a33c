"""Sign-in without a password answers to names of this machine only, and only where nobody else reaches it."""

from __future__ import annotations

import pytest
import structlog

from gateway_api.console.session import SESSION
from tests.console.conftest import Browser

FOREIGN = [
    "evil.example",
    "evil.example:8088",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1@evil.example",
    "localhost:8088@evil.example",
    "evil.example#localhost",
    "192.168.0.7:8088",
    "0.0.0.0",
    "[::2]",
    "localhost:",
    "localhost:8088:1",
    " ",
    "",
]


async def post_sign_in(browser: Browser, host: str):
    page = await browser.get("/sign-in", headers={"host": "localhost"})
    browser.page = page
    fields = {"csrf": browser.hidden("csrf"), "person": "jung", "next": "/"}
    return await browser.post("/sign-in", data=fields, headers={"host": host})


@pytest.mark.parametrize("host", FOREIGN)
async def test_another_host_gets_neither_pages_nor_a_session(browser, host):
    """A page of another site has pointed its own name to this machine."""
    for path in ("/", "/sign-in", "/operator", "/nowhere", "/mine"):
        answer = await browser.get(path, headers={"host": host, "accept": "text/html"})
        assert answer.status_code == 421
        assert "csrf" not in answer.text
        assert "set-cookie" not in answer.headers

    answer = await post_sign_in(browser, host)

    assert answer.status_code == 421
    assert SESSION not in browser.cookies


async def test_another_host_has_no_use_for_a_session_and_hears_no_events(browser):
    await browser.sign_in("jung")
    mine = {"cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar)}

    assert (await browser.get("/operator", headers={**mine, "host": "evil.example"})).status_code == 421
    assert (await browser.get("/events", headers={**mine, "host": "evil.example"})).status_code == 421


async def test_two_hosts_are_none(browser):
    answer = await browser.get("/sign-in", headers=[("host", "localhost"), ("host", "evil.example")])

    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LocalHost:8088", "127.0.0.1", "127.0.0.1:8088", "[::1]", "[::1]:8088"])
async def test_the_names_of_this_machine_sign_in(browser, host):
    assert (await post_sign_in(browser, host)).status_code == 303


async def test_with_an_issuer_every_name_is_served(open_browser):
    browser = open_browser(
        oidc_issuer="https://id.example",
        jwt_jwks_url="https://id.example/keys",
        console_key="k" * 32,
        console_url="https://yeyak.example",
        gateway_host="0.0.0.0",
    )

    assert (await browser.get("/sign-in", headers={"host": "yeyak.example"})).status_code == 200


@pytest.mark.parametrize(
    ("settings", "is_on", "warning"),
    [
        ({"gateway_host": "127.0.0.1"}, True, None),
        ({"gateway_host": "127.0.0.53"}, True, None),
        ({"gateway_host": "::1"}, True, None),
        ({"gateway_host": "localhost"}, True, None),
        ({"gateway_host": "0.0.0.0"}, False, "local_sign_in_off"),
        ({"gateway_host": "::"}, False, "local_sign_in_off"),
        ({"gateway_host": "10.1.2.3"}, False, "local_sign_in_off"),
        ({"gateway_host": "yeyak.example"}, False, "local_sign_in_off"),
        ({"gateway_host": "0.0.0.0", "local_sign_in": "allowed"}, True, "local_sign_in_reachable"),
        ({"gateway_host": "127.0.0.1", "local_sign_in": "off"}, False, None),
        ({"gateway_host": "0.0.0.0", "local_sign_in": "off"}, False, None),
    ],
)
async def test_people_choose_who_to_be_where_nobody_else_reaches_the_gateway(open_browser, settings, is_on, warning):
    with structlog.testing.capture_logs() as logs:
        browser = open_browser(**settings)
    page = await browser.look("/sign-in")
    answer = await browser.post("/sign-in", data={"csrf": browser.hidden("csrf"), "person": "jung"})

    assert [entry["event"] for entry in logs if entry["event"].startswith("local_sign_in")] == [warning][
        : bool(warning)
    ]
    assert ("Local run" in page.text, 'value="jung"' in page.text) == (is_on, is_on)
    assert answer.status_code == (303 if is_on else 405)


async def test_where_it_is_allowed_the_address_of_the_console_is_served_too(open_browser):
    browser = open_browser(
        gateway_host="0.0.0.0", local_sign_in="allowed", console_url="http://devbox.example:8088/console"
    )

    assert (await browser.get("/sign-in", headers={"host": "devbox.example:8088"})).status_code == 200
    assert (await browser.get("/sign-in", headers={"host": "other.example:8088"})).status_code == 421
    assert (await browser.get("/sign-in", headers={"host": "localhost:8088"})).status_code == 200
