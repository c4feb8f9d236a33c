"""Signing in at an issuer: OpenID Connect, authorization code with PKCE.

The session is the issuer's own access token, which the API verifies as it does every other: its audience, its keys.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import jwt
import structlog
from pydantic_core import from_json, to_json
from starlette.responses import Response

from gateway_api.console import problems
from gateway_api.console.desk import Desk, Visit, place_here
from gateway_api.console.problems import Told
from gateway_api.console.words import Text
from gateway_api.problems import Problem
from gateway_api.tokens import ASYMMETRIC
from workers.runtime.settings import Settings

log = structlog.get_logger()

BEGUN: Final = "yeyak_signing_in"
BEGUN_SECONDS = 600
WAIT_SECONDS = 5.0
SCOPE = "openid"


class NotSignedInError(Exception):
    """The issuer, or whoever came from there, did not say what was expected."""


class Oidc:
    """The two steps: to the issuer, and back."""

    def __init__(self, desk: Desk, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        missing = [name for name in ("console_url", "console_key", "jwt_jwks_url") if getattr(settings, name) is None]
        if missing:
            raise ValueError(f"YEYAK_OIDC_ISSUER needs {', '.join(f'YEYAK_{name.upper()}' for name in missing)}")
        self._desk = desk
        self._issuer = str(settings.oidc_issuer).rstrip("/")
        self._client = settings.oidc_client_id
        self._secret = settings.oidc_client_secret
        self._back_to = f"{str(settings.console_url).rstrip('/')}/sign-in/callback"
        self._http = httpx.AsyncClient(transport=transport, timeout=WAIT_SECONDS, trust_env=False)
        self._known: dict[str, Any] = {}
        desk.add("GET", "/sign-in/begin", self.begin)
        desk.add("GET", "/sign-in/callback", self.back)

    async def begin(self, visit: Visit) -> Response:
        """To the issuer, with what proves later that it was this browser that asked."""
        try:
            place = (await self._discovered())["authorization_endpoint"]
        except NotSignedInError as error:
            return self._failed(visit, error)
        begun = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        begun["next"] = place_here(visit.asked("next"), "/")
        challenge = hashlib.sha256(begun["verifier"].encode()).digest()
        wanted = {
            "response_type": "code",
            "client_id": self._client,
            "redirect_uri": self._back_to,
            "scope": SCOPE,
            "state": begun["state"],
            "nonce": begun["nonce"],
            "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        response = self._desk.go(f"{place}{'&' if '?' in place else '?'}{urlencode(wanted)}")
        self._desk.sessions.keep(response, BEGUN, self._sealed(begun), BEGUN_SECONDS)
        return response

    async def back(self, visit: Visit) -> Response:
        """From the issuer, with a code that is worth a token."""
        try:
            begun = self._opened(visit.request.cookies.get(BEGUN, ""))
            if not hmac.compare_digest(begun["state"].encode(), visit.asked("state").encode()):
                raise NotSignedInError("another state came back")
            if visit.asked("iss") not in ("", self._issuer):
                raise NotSignedInError("another issuer answered")
            token = await self._redeem(visit.asked("code"), begun)
            response = self._desk.go(place_here(begun["next"], "/"))
            self._desk.sessions.begin(response, token)
        except (NotSignedInError, ValueError) as error:
            return self._failed(visit, error)
        response.delete_cookie(BEGUN, path="/")
        return response

    async def _redeem(self, code: str, begun: dict[str, str]) -> str:
        """The access token, once the identity token is this sign-in's own and the API takes the other."""
        if not code:
            raise NotSignedInError("no code came back")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back_to,
            "client_id": self._client,
            "code_verifier": begun["verifier"],
        }
        if self._secret is not None:
            form["client_secret"] = self._secret.get_secret_value()
        place = (await self._discovered())["token_endpoint"]
        told = await self._heard("POST", place, form)
        await self._check_identity(str(told.get("id_token", "")), begun["nonce"])
        token = str(told.get("access_token", ""))
        try:
            await self._desk.door.verifier.verify(f"Bearer {token}")
        except Problem as problem:
            raise NotSignedInError(f"the API does not take the issuer's token: {problem.code}") from None
        return token

    async def _check_identity(self, id_token: str, nonce: str) -> None:
        published = self._desk.door.verifier.published
        assert published is not None
        try:
            key = await published.find(jwt.get_unverified_header(id_token).get("kid"))
            if key is None or key.algorithm_name not in ASYMMETRIC:
                raise NotSignedInError("the identity token has no key of the issuer's")
            claims = jwt.decode(
                id_token, key, algorithms=[key.algorithm_name], audience=self._client, issuer=self._issuer
            )
        except (jwt.PyJWTError, Problem) as error:
            raise NotSignedInError(f"the identity token is not valid: {type(error).__name__}") from None
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise NotSignedInError("the identity token is of another sign-in")

    async def _discovered(self) -> dict[str, Any]:
        """The issuer's description of itself, kept once it was read."""
        if not self._known:
            told = await self._heard("GET", f"{self._issuer}/.well-known/openid-configuration")
            if str(told.get("issuer", "")).rstrip("/") != self._issuer:
                raise NotSignedInError("the issuer calls itself something else")
            if not all(isinstance(told.get(name), str) for name in ("authorization_endpoint", "token_endpoint")):
                raise NotSignedInError("the issuer does not say where to sign in")
            self._known = told
        return self._known

    async def _heard(self, method: str, place: str, form: dict[str, str] | None = None) -> dict[str, Any]:
        try:
            answer = (await self._http.request(method, place, data=form)).raise_for_status()
            told = from_json(answer.content)
        except (httpx.HTTPError, ValueError) as error:
            raise NotSignedInError(f"the issuer does not answer: {type(error).__name__}") from None
        if not isinstance(told, dict):
            raise NotSignedInError("the issuer answers with something else")
        return told

    # -- what this browser has begun

    def _sealed(self, begun: dict[str, str]) -> str:
        text = base64.urlsafe_b64encode(to_json(begun)).decode()
        return f"{text}.{self._desk.sessions.sign(BEGUN, text)}"

    def _opened(self, sealed: str) -> dict[str, str]:
        text, _, seal = sealed.rpartition(".")
        if not text or not hmac.compare_digest(self._desk.sessions.sign(BEGUN, text).encode(), seal.encode()):
            raise NotSignedInError("this browser has not begun to sign in, or too long ago")
        found: dict[str, str] = from_json(base64.urlsafe_b64decode(text))
        return found

    def _failed(self, visit: Visit, error: Exception) -> Response:
        log.warning("nobody was signed in", reason=str(error))
        language = visit.visitor.language
        told = Told(
            Text("로그인하지 못했습니다", "You could not be signed in").of(language),
            Text("잠시 후 다시 시도해 주세요.", "Please try again shortly.").of(language),
            "sign_in_failed",
            {},
            *problems.WAYS_ON["not_signed_in"],
        )
        return self._desk.problem(visit, told, 400)
