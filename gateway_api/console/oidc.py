"""Sign-in at an issuer: OpenID Connect, authorization code flow with PKCE.

A session has the access token of the issuer, which the API verifies like every other bearer token, and its refresh
token, by which it outlives the access token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

import httpx
import structlog
from starlette.responses import Response

from gateway_api.console import notices
from gateway_api.console.issuer_client import (
    ACCOUNT_UNUSABLE,
    ISSUER_UNAVAILABLE,
    SIGN_IN_DECLINED,
    SIGN_IN_EXPIRED,
    TOO_MANY_SIGN_INS,
    IssuerClient,
    NotSignedInError,
)
from gateway_api.console.notices import ProblemNotice
from gateway_api.console.session import ConsoleSession
from gateway_api.console.site import PageContext, Site, local_url
from gateway_api.console.words import Text
from gateway_api.problems import Problem
from gateway_api.settings import GatewaySettings
from gateway_api.tokens import SignedIn

log = structlog.get_logger()

FLOW_COOKIE: Final = "yeyak_signing_in"
FLOW_SECONDS = 600


class Oidc:
    """The routes of the sign-in: to the issuer, the callback, and sign-out at the issuer."""

    def __init__(
        self, site: Site, settings: GatewaySettings, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        missing = [name for name in ("console_url", "console_key", "jwt_jwks_url") if getattr(settings, name) is None]
        if missing:
            raise ValueError(f"YEYAK_OIDC_ISSUER needs {', '.join(f'YEYAK_{name.upper()}' for name in missing)}")
        self._site = site
        self._client = IssuerClient(settings, site.gateway.verifier, transport)
        self._sealer = site.sessions.sealer("sign-in")
        self._scope = settings.oidc_scope
        self._resource = settings.oidc_resource
        self._redirect_uri = f"{str(settings.console_url).rstrip('/')}/sign-in/callback"
        site.sessions.use_issuer(self)
        site.add_page("GET", "/sign-in/begin", self.begin)
        site.add_page("GET", "/sign-in/callback", self.callback)
        site.add_page("GET", "/sign-in/end", self.sign_out)

    async def begin(self, page: PageContext) -> Response:
        """Redirect to the issuer; a sealed cookie binds the sign-in to this browser."""
        flow = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        flow["next"] = local_url(page.query("next"), "/")
        challenge = hashlib.sha256(flow["verifier"].encode()).digest()
        query = {
            "response_type": "code",
            "redirect_uri": self._redirect_uri,
            "scope": self._scope,
            "state": flow["state"],
            "nonce": flow["nonce"],
            "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
            "code_challenge_method": "S256",
            **({"resource": self._resource, "audience": self._resource} if self._resource else {}),
        }
        try:
            response = self._site.redirect(await self._client.url("authorization_endpoint", query))
        except NotSignedInError as error:
            return self._failed(page, error)
        self._site.sessions.set_cookie(response, FLOW_COOKIE, self._sealer.seal(flow), FLOW_SECONDS)
        return response

    async def callback(self, page: PageContext) -> Response:
        """Exchange the code from the issuer for tokens, and start the session."""
        if page.visitor.caller is not None and FLOW_COOKIE not in page.request.cookies:
            return self._site.redirect("/")  # the callback was reloaded after the sign-in
        try:
            flow = await self._flow(page)
            self._count_attempt(page)
            tokens = await self._client.redeem(page.query("code"), flow["verifier"], self._redirect_uri, flow["nonce"])
            response = self._site.redirect(local_url(flow["next"], "/"))
            self._begin_session(response, *tokens)
        except NotSignedInError as error:
            return self._failed(page, error)
        self._site.sessions.delete_cookie(response, FLOW_COOKIE)
        return response

    def _count_attempt(self, page: PageContext) -> None:
        """Limit by address how often the issuer is asked for tokens: whoever begins a sign-in can make up codes."""
        try:
            self._site.gateway.failures.count(page.request.scope.get("client"))
        except Problem:
            raise NotSignedInError(TOO_MANY_SIGN_INS, "too many attempts of one address") from None

    async def _flow(self, page: PageContext) -> dict[str, str]:
        """Return the sign-in that this browser has begun, if the issuer's response belongs to it."""
        flow = self._sealer.unseal(page.request.cookies.get(FLOW_COOKIE, ""), FLOW_SECONDS)
        if flow is None:
            raise NotSignedInError(SIGN_IN_EXPIRED, "this browser has begun no sign-in, or it expired")
        if not hmac.compare_digest(flow["state"].encode(), page.query("state").encode()):
            raise NotSignedInError(SIGN_IN_EXPIRED, "the state does not match")
        if page.query("iss") not in ("", (await self._client.metadata())["issuer"]):
            raise NotSignedInError(SIGN_IN_EXPIRED, "the response is from another issuer")
        if refusal := page.query("error"):
            raise NotSignedInError(SIGN_IN_DECLINED, f"the issuer refused: {refusal[:100]!a}")
        return flow

    def _begin_session(self, response: Response, token: str, signed_in: SignedIn, refresh_token: str) -> None:
        try:
            self._site.sessions.begin(response, token, signed_in, refresh_token)
        except ValueError as error:
            raise NotSignedInError(ACCOUNT_UNUSABLE, str(error)) from None

    async def sign_out(self, page: PageContext) -> Response:
        """Redirect to the issuer to sign out there too."""
        try:
            return self._site.redirect(await self._client.url("end_session_endpoint", {}) or "/")
        except NotSignedInError as error:
            return self._failed(page, error)

    # -- the tokens of sessions

    async def renew(self, session: ConsoleSession) -> ConsoleSession | None:
        """Return the session with new tokens; None when the issuer refuses, or they are too long or somebody else's.

        Raises `unavailable`.
        """
        try:
            token, signed_in, refresh_token = await self._client.refresh(session.refresh_token)
        except NotSignedInError as error:
            log.info("session_not_renewed", reason=str(error))
            if error.failure is ISSUER_UNAVAILABLE:
                raise Problem("unavailable") from None
            return None
        if signed_in.caller.member_id != session.member_id:
            log.warning("session_not_renewed", reason="the new token is somebody else's")
            return None
        renewed = self._site.sessions.with_tokens(session, token, signed_in, refresh_token)
        try:
            self._site.sessions.seal(renewed)
        except ValueError as error:
            log.warning("session_not_renewed", reason=str(error))
            return None
        return renewed

    async def revoke(self, session: ConsoleSession) -> None:
        """Revoke the refresh token, if the issuer can; the session is over in any case."""
        if not session.refresh_token:
            return
        try:
            await self._client.revoke(session.refresh_token)
        except NotSignedInError as error:
            log.warning("refresh_token_not_revoked", reason=str(error))

    def _failed(self, page: PageContext, error: NotSignedInError) -> Response:
        log.warning("sign_in_failed", reason=str(error))
        status, title, detail = error.failure
        link = ("", Text("", "")) if error.failure is ACCOUNT_UNUSABLE else notices.LINKS["not_signed_in"]
        notice = ProblemNotice(title.of(page.language), detail.of(page.language), "sign_in_failed", {}, *link)
        return self._site.problem(page, notice, status)
