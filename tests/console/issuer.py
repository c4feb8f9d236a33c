"""An issuer (OpenID Connect) with its tokens, and a console where people sign in with it."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr
from starlette.applications import Starlette

from gateway_api.console.business_pages import BusinessPages
from gateway_api.console.home_pages import HomePages
from gateway_api.console.live import LiveUpdates
from gateway_api.console.oidc import Oidc
from gateway_api.console.site import Site
from gateway_api.gateway import Gateway
from gateway_api.issuer_keys import PublishedKeys
from gateway_api.tokens import Verifier
from ops.settings import SystemSettings
from tests.console.conftest import Browser
from tests.gateway_api.conftest import FakeRpcClient

ISSUER, CONSOLE, SECRET = "https://id.example", "http://console", "hush: 100 % secret"
LASTS = 600
"""Seconds that an access token lasts."""


class Issuer:
    """The endpoints of an issuer that the console calls."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._clock = clock
        self.challenge = self.nonce = ""
        self.access: dict[str, Any] = {}
        self.identity: dict[str, Any] = {}
        self.opaque = ""
        """The access token that is issued instead of a JWT; empty: a JWT."""
        self.takes = "client_secret_basic"
        self.supports: list[str] | None = None
        self.metadata: dict[str, Any] = {}
        """Replaces fields of the OpenID configuration."""
        self.key_fields: dict[str, Any] = {"alg": "ES256"}
        self.name = ISSUER
        self.away = False
        self.refresh_token = ""
        """The one that is accepted, once; empty: none is issued."""
        self.refreshed = 0
        self.revoked: list[str] = []

    def send(self, place: str) -> str:
        """Accept an authorization request; return the state for the callback."""
        self.address = urlsplit(place)
        parameters = {name: values[0] for name, values in parse_qs(self.address.query).items()}
        assert parameters["response_type"] == "code"
        assert parameters["redirect_uri"] == f"{CONSOLE}/sign-in/callback"
        assert parameters["code_challenge_method"] == "S256"
        self.parameters = parameters
        self.challenge, self.nonce = parameters["code_challenge"], parameters["nonce"]
        return parameters["state"]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("no answer")
        if request.url.path.endswith("/.well-known/openid-configuration"):
            return httpx.Response(200, json=self._configuration())
        if request.url.path == "/keys":
            return httpx.Response(200, json={"keys": [self.published]})
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        if not self._is_client(request, form):
            return httpx.Response(401, json={"error": "invalid_client"})
        if request.url.path == "/revoke":
            self.revoked.append(form["token"])
            return httpx.Response(200)
        if not (self._refreshes(form) if form["grant_type"] == "refresh_token" else self._redeems(form)):
            return httpx.Response(400, json={"error": "invalid_grant"})
        return httpx.Response(200, json=self._tokens())

    def _configuration(self) -> dict[str, Any]:
        ways = {} if self.supports is None else {"token_endpoint_auth_methods_supported": self.supports}
        return {
            "issuer": self.name,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "end_session_endpoint": f"{ISSUER}/end",
            "revocation_endpoint": f"{ISSUER}/revoke",
            **ways,
            **self.metadata,
        }

    def _redeems(self, form: dict[str, str]) -> bool:
        proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        return form["code"] == "the-code" and proof == self.challenge

    def _refreshes(self, form: dict[str, str]) -> bool:
        accepted = form["refresh_token"] == self.refresh_token
        if accepted:
            self.refreshed += 1
            self.refresh_token = f"refresh-{self.refreshed}"
        return accepted

    def _tokens(self) -> dict[str, Any]:
        now = time.time()
        common = {"iss": self.name, "sub": "kim", "iat": now, "exp": self._clock() + LASTS}
        access = {**common, "aud": "yeyak", "role": "customer", "jti": f"{self.refreshed}", **self.access}
        tokens = {
            "access_token": self.opaque or self._signed(access),
            "id_token": self._signed({**common, "aud": "console", "nonce": self.nonce, **self.identity}),
        }
        return {**tokens, "refresh_token": self.refresh_token} if self.refresh_token else tokens

    def _is_client(self, request: httpx.Request, form: dict[str, str]) -> bool:
        if self.takes == "client_secret_post":
            return form.get("client_secret") == SECRET
        named = base64.b64encode(f"console:{quote_plus(SECRET)}".encode()).decode()
        return request.headers.get("authorization") == f"Basic {named}" and "client_secret" not in form

    def _signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self._key, "ES256", headers={"kid": "one"})

    @property
    def published(self) -> dict[str, Any]:
        key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        return {**key, "kid": "one", "use": "sig", **self.key_fields}


def at_console(issuer: Issuer, rpc: FakeRpcClient, clock: Callable[[], float] = time.time, **more: Any) -> Browser:
    """Return a browser at the console of another gateway."""
    settings = SystemSettings(
        **{
            "oidc_issuer": issuer.name,
            "oidc_client_id": "console",
            "oidc_client_secret": SecretStr(SECRET),
            "jwt_issuer": issuer.name,
            "jwt_jwks_url": f"{ISSUER}/keys",
            "console_key": SecretStr("k" * 32),
            "console_url": CONSOLE,
            "gateway_rate": 0,
            **more,
        }
    )
    app, gateway = Starlette(), Gateway(rpc, settings, Verifier(settings, clock))
    gateway.verifier.published_keys = PublishedKeys(f"{ISSUER}/keys", lambda: None, httpx.MockTransport(issuer))
    site = Site(app, gateway, settings, LiveUpdates("amqp://nobody"))
    HomePages(site, BusinessPages(site), lambda: False)
    Oidc(site, settings, httpx.MockTransport(issuer))
    return Browser(transport=httpx.ASGITransport(app), base_url=CONSOLE, headers={"accept-language": "en"})


async def begin_sign_in(browser: Browser, issuer: Issuer, next_place: str = "/mine") -> str:
    """Follow the redirect to the issuer; return the state."""
    answer = await browser.look(f"/sign-in/begin?next={next_place}")
    assert answer.status_code == 303
    return issuer.send(answer.headers["location"])


async def sign_in(browser: Browser, issuer: Issuer) -> None:
    """Sign in as the person whom the issuer names."""
    state = await begin_sign_in(browser, issuer)
    answer = await browser.look(f"/sign-in/callback?code=the-code&state={state}")
    assert answer.status_code == 303, answer.text
