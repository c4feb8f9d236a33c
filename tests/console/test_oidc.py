"""Signing in with OpenID Connect: the authorization code with PKCE, verified tokens, and refused attempts."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from gateway_api.console.live import LiveUpdates
from gateway_api.console.oidc import FLOW_COOKIE, Oidc
from gateway_api.console.session import SESSION
from gateway_api.console.site import Site
from gateway_api.gateway import Gateway
from ops.settings import SystemSettings
from tests.console.conftest import Browser
from tests.console.issuer import CONSOLE, ISSUER, Issuer, at_console, begin_sign_in


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def browser(issuer, rpc) -> Browser:
    return at_console(issuer, rpc)


async def test_a_code_with_its_proof_becomes_a_session(browser, issuer):
    state = await begin_sign_in(browser, issuer)

    answer = await browser.look(f"/sign-in/callback?code=the-code&state={state}")

    assert (answer.status_code, answer.headers["location"]) == (303, "/mine")
    assert ">kim<" in (await browser.look("/sign-in")).text


async def test_another_state_is_refused(browser, issuer):
    await begin_sign_in(browser, issuer)

    assert (await browser.look("/sign-in/callback?code=the-code&state=another")).status_code == 400
    assert SESSION not in browser.cookies


async def test_a_callback_without_a_started_sign_in_is_refused(browser, issuer):
    state = await begin_sign_in(browser, issuer)
    browser.cookies.delete(FLOW_COOKIE)

    assert (await browser.look(f"/sign-in/callback?code=the-code&state={state}")).status_code == 400


async def test_the_cookie_of_a_started_sign_in_cannot_be_forged(browser, issuer):
    await begin_sign_in(browser, issuer)
    begun = base64.urlsafe_b64encode(b'{"state":"s","nonce":"n","verifier":"v","next":"/"}').decode()
    browser.cookies.clear()
    browser.cookies.set(FLOW_COOKIE, f"{begun}.{'0' * 64}")

    assert (await browser.look("/sign-in/callback?code=the-code&state=s")).status_code == 400


@pytest.mark.parametrize(
    ("takes", "supports"),
    [
        ("client_secret_basic", None),
        ("client_secret_post", ["client_secret_post"]),
        ("client_secret_post", ["client_secret_post", "client_secret_basic"]),
    ],
)
async def test_the_client_authenticates_as_the_issuer_supports(browser, issuer, takes, supports):
    issuer.takes, issuer.supports = takes, supports
    state = await begin_sign_in(browser, issuer)

    answer = await browser.look(f"/sign-in/callback?code=the-code&state={state}")

    assert answer.status_code == 303


async def test_an_issuer_whose_name_ends_with_a_slash_is_accepted(rpc):
    issuer = Issuer()
    issuer.name = f"{ISSUER}/"
    browser = at_console(issuer, rpc)
    state = await begin_sign_in(browser, issuer)

    answer = await browser.look(f"/sign-in/callback?code=the-code&state={state}&iss={ISSUER}/")

    assert answer.status_code == 303


async def test_an_issuer_can_be_asked_for_tokens_for_the_api(issuer, rpc):
    browser = at_console(issuer, rpc, oidc_resource="https://api.example", oidc_scope="openid api")
    await begin_sign_in(browser, issuer)

    parameters = (issuer.parameters["resource"], issuer.parameters["audience"], issuer.parameters["scope"])
    assert parameters == ("https://api.example", "https://api.example", "openid api")


@pytest.mark.parametrize(
    ("access", "opaque"),
    [({"aud": "somebody-else"}, ""), ({"role": None}, ""), ({}, "an-opaque-token"), ({"long": "x" * 4000}, "")],
)
async def test_a_permanent_sign_in_error_does_not_offer_a_retry(browser, issuer, access, opaque):
    state = await begin_sign_in(browser, issuer)
    issuer.access, issuer.opaque = access, opaque

    page = await browser.look(f"/sign-in/callback?code=the-code&state={state}")

    assert page.status_code == 403
    assert "Trying again will not help" in page.text
    assert "try again shortly" not in page.text


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("error=access_denied&state={state}", 403, "You did not sign in"),
        ("code=used-before&state={state}", 400, "Please sign in once more"),
        ("code=the-code&state=another", 400, "Please sign in once more"),
        ("code=the-code&state={state}&iss=https://elsewhere.example", 400, "Please sign in once more"),
    ],
)
async def test_a_failed_sign_in_shows_its_reason(browser, issuer, query, status, says):
    state = await begin_sign_in(browser, issuer)

    page = await browser.look(f"/sign-in/callback?{query.format(state=state)}")

    assert (page.status_code, says in page.text) == (status, True)


@pytest.mark.parametrize("half_way", [False, True])
async def test_an_unavailable_issuer_is_reported(browser, issuer, half_way):
    state = await begin_sign_in(browser, issuer) if half_way else ""
    issuer.away = True

    page = await browser.look(f"/sign-in/callback?code=the-code&state={state}" if half_way else "/sign-in/begin")

    assert page.status_code == 503
    assert "The sign-in service does not answer" in page.text


async def test_a_small_clock_difference_of_the_issuer_is_accepted(browser, issuer):
    issuer.identity = {"iat": time.time() + 30}
    state = await begin_sign_in(browser, issuer)

    answer = await browser.look(f"/sign-in/callback?code=the-code&state={state}")

    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (f"{ISSUER}/end", f"{ISSUER}/end?client_id=console"),
        (f"{ISSUER}/end?p=b2c_1_signin", f"{ISSUER}/end?p=b2c_1_signin&client_id=console"),
        (f"{ISSUER}/end?p=a%20b#top", f"{ISSUER}/end?p=a%20b&client_id=console"),
        (f"{ISSUER}/end?", f"{ISSUER}/end?client_id=console"),
        (None, "/"),
    ],
)
async def test_signing_out_offers_the_issuers_sign_out(browser, issuer, address, expected):
    issuer.metadata = {"end_session_endpoint": address}

    answer = await browser.look("/sign-in/end")

    assert (answer.status_code, answer.headers["location"]) == (303, expected)


async def test_what_a_sign_in_has_begun_with_is_not_readable(browser, issuer):
    await begin_sign_in(browser, issuer, "/mine")

    cookie = browser.cookies[FLOW_COOKIE]
    assert b"mine" not in base64.urlsafe_b64decode(cookie + "==")


async def test_reloading_the_callback_redirects_home(browser, issuer):
    state = await begin_sign_in(browser, issuer)
    for _ in range(2):
        answer = await browser.look(f"/sign-in/callback?code=the-code&state={state}")

    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize(
    ("access", "identity"),
    [
        ({"aud": "somebody-else"}, {}),
        ({"role": "king"}, {}),
        ({"exp": 1}, {}),
        ({"iss": "https://elsewhere.example"}, {}),
        ({}, {"nonce": "another"}),
        ({}, {"aud": "another-client"}),
        ({}, {"azp": "another-client"}),
        ({}, {"iss": "https://elsewhere.example"}),
        ({}, {"exp": 1}),
    ],
)
async def test_tokens_that_are_not_for_this_sign_in_are_refused(browser, issuer, access, identity):
    state = await begin_sign_in(browser, issuer)
    issuer.access, issuer.identity = access, identity

    assert (await browser.look(f"/sign-in/callback?code=the-code&state={state}")).status_code in (400, 403)
    assert SESSION not in browser.cookies


@pytest.mark.parametrize("query", ["code=another&state={state}", "state={state}", "error=access_denied&state={state}"])
async def test_a_wrong_code_signs_nobody_in(browser, issuer, query):
    state = await begin_sign_in(browser, issuer)

    assert (await browser.look(f"/sign-in/callback?{query.format(state=state)}")).status_code in (400, 403)
    assert SESSION not in browser.cookies


async def test_sign_ins_of_one_address_are_limited_and_the_issuer_is_not_asked(issuer, rpc):
    browser = at_console(issuer, rpc, gateway_failures=0.5)
    answers = []
    for _ in range(4):
        state = await begin_sign_in(browser, issuer)
        answers.append(await browser.look(f"/sign-in/callback?code=made-up&state={state}"))
    issuer.away = True
    last = await browser.look(f"/sign-in/callback?code=made-up&state={state}")

    assert [answer.status_code for answer in answers] == [400, 400, 429, 429]
    assert "Too many sign-ins" in last.text


async def test_signing_in_redirects_only_within_the_console(browser, issuer):
    state = await begin_sign_in(browser, issuer, "//elsewhere.example")

    answer = await browser.look(f"/sign-in/callback?code=the-code&state={state}")

    assert answer.headers["location"] == "/"


@pytest.mark.parametrize("name", ["console_url", "console_key", "jwt_jwks_url"])
def test_an_issuer_needs_the_related_settings(rpc, name):
    given: dict[str, Any] = {
        "oidc_issuer": ISSUER,
        "console_url": CONSOLE,
        "console_key": SecretStr("k" * 32),
        "jwt_jwks_url": f"{ISSUER}/keys",
        "jwt_key": SecretStr("j" * 32),
        name: None,
    }
    settings = SystemSettings(**given)

    with pytest.raises(ValueError, match=f"YEYAK_{name.upper()}"):
        Oidc(Site(Starlette(), Gateway(rpc, settings), settings, LiveUpdates("amqp://nobody")), settings)


def test_a_key_that_can_be_guessed_seals_nothing(rpc):
    settings = SystemSettings(jwt_key=SecretStr("j" * 32), console_key=SecretStr("k" * 31))

    with pytest.raises(ValueError, match="YEYAK_CONSOLE_KEY must have at least 32 bytes"):
        Site(Starlette(), Gateway(rpc, settings), settings, LiveUpdates("amqp://nobody"))
