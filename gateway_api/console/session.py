"""Sessions: a sealed cookie holds the tokens of a session, and a stream tells every gateway which ones have ended."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import asdict, dataclass, field, replace
from typing import Final, Protocol

import structlog
from starlette.requests import Request
from starlette.responses import Response

from contracts.base import Caller
from gateway_api.console.ended_sessions import EndedSessions
from gateway_api.console.renewals import Renewals
from gateway_api.console.sealing import Sealer
from gateway_api.gateway import Gateway
from gateway_api.language import Language, preferred
from gateway_api.problems import Problem
from gateway_api.settings import GatewaySettings
from gateway_api.tokens import SHORTEST_KEY, SignedIn

log = structlog.get_logger()

SESSION: Final = "yeyak_session"
SESSION_PARTS: Final = (SESSION, f"{SESSION}_2")
"""The cookies of a session: the second one only for long tokens."""
BROWSER: Final = "yeyak_browser"
LANGUAGE: Final = "yeyak_language"
LONGEST_COOKIE = 3_800
"""Browsers drop a cookie of more than 4096 bytes, its name and attributes included."""
LONGEST_SESSION = LONGEST_COOKIE * len(SESSION_PARTS)
"""Proxies refuse a header of more than 8 kB, as most are set."""
LANGUAGE_SECONDS = 365 * 24 * 3600
RENEW_AHEAD_SECONDS = 60.0
"""How long before its access token expires a session is renewed, at most: so long it can do without its issuer."""
RENEW_AHEAD_SHARE = 0.25
"""The same as a share of the time that the token lasts."""
OVER_SECONDS = 7 * 24 * 3600
"""How long the cookie of a session that is over still tells whose it was."""


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """What the cookie of a session holds; instants are seconds since 1970."""

    id: str
    member_id: str
    token: str = field(repr=False)
    """The bearer token of the API."""
    expires_at: float
    """When the token expires."""
    renew_at: float
    """When it is to be renewed, if it can be."""
    ends_at: float
    """When the person has to sign in again, however often the token was renewed."""
    refresh_token: str = field(default="", repr=False)


class SessionIssuer(Protocol):
    """The issuer of the tokens of sessions."""

    async def renew(self, session: ConsoleSession) -> ConsoleSession | None:
        """Return the session with new tokens; None when the issuer has ended it. Raises `unavailable`."""

    async def revoke(self, session: ConsoleSession) -> None:
        """Make the tokens of a session useless, as far as the issuer can; raises nothing."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """The sender of a request; `caller` is None without a valid session."""

    caller: Caller | None
    language: Language
    browser: str
    """A random id of this browser, to which CSRF tokens are bound before sign-in."""
    known_browser: bool
    session: ConsoleSession | None = None
    is_renewed: bool = False
    """Whether the session has new tokens, which the response must give to the browser."""
    over: ConsoleSession | None = None
    """The session that this browser had, and that is over."""

    @property
    def token(self) -> str:
        return self.session.token if self.session else ""

    @property
    def expires_at(self) -> float:
        """When the session must be renewed, or is over."""
        return min(self.session.expires_at, self.session.ends_at) if self.session else 0.0

    @property
    def is_staff(self) -> bool:
        return self.caller is not None and self.caller.is_staff

    @property
    def is_customer(self) -> bool:
        return self.caller is not None and not self.caller.is_staff

    @property
    def is_operator(self) -> bool:
        return self.caller is not None and self.caller.role == "operator"


class Sessions:
    """Reads and writes the cookies; `secure` when the console is served by https."""

    def __init__(self, gateway: Gateway, settings: GatewaySettings, ended: EndedSessions) -> None:
        self._gateway = gateway
        self._key = _key(settings)
        self._sealer = Sealer(self._key, "session")
        self._lasts = settings.session_hours * 3600
        self._ended = ended
        self._issuer: SessionIssuer | None = None
        self._renewals: Renewals[ConsoleSession] | None = None
        self.secure = (settings.console_url or "").startswith("https://")

    def use_issuer(self, issuer: SessionIssuer) -> None:
        """Renew and revoke the tokens of sessions there."""
        self._issuer = issuer
        self._renewals = Renewals(issuer.renew)

    def sealer(self, purpose: str) -> Sealer:
        """Return what seals other cookies."""
        return Sealer(self._key, purpose)

    # -- reading

    def anonymous(self, request: Request) -> Visitor:
        """Return the sender of a request, whatever session it has."""
        browser = request.cookies.get(BROWSER, "")
        return Visitor(None, language_of(request), browser or secrets.token_urlsafe(18), bool(browser))

    async def visitor(self, request: Request) -> Visitor:
        """Return the sender of a request; raises `unavailable` when it cannot be known whether the session is valid."""
        anonymous = self.anonymous(request)
        stored = self._stored(request)
        if stored is None:
            return anonymous
        session = await self._valid(stored)
        if session is None:
            return replace(anonymous, over=stored)
        try:
            signed_in = await self._gateway.verifier.verify(f"Bearer {session.token}")
        except Problem as problem:
            if problem.code == "unavailable":
                raise
            return replace(anonymous, over=stored)
        return replace(anonymous, caller=signed_in.caller, session=session, is_renewed=session is not stored)

    def _stored(self, request: Request) -> ConsoleSession | None:
        sealed = "".join(request.cookies.get(name, "") for name in SESSION_PARTS)
        fields = self._sealer.unseal(sealed, OVER_SECONDS) if 0 < len(sealed) <= LONGEST_SESSION else None
        try:
            return ConsoleSession(**fields) if fields else None
        except TypeError:  # the cookie of another version
            return None

    async def _valid(self, stored: ConsoleSession) -> ConsoleSession | None:
        """Return a session that has not ended, with new tokens where it needs some."""
        verifier = self._gateway.verifier
        if verifier.is_past(stored.ends_at) or await self._ended.contains(stored.id):
            return None
        session = await self._with_fresh_tokens(stored)
        return None if verifier.is_past(session.expires_at) else session

    async def _with_fresh_tokens(self, stored: ConsoleSession) -> ConsoleSession:
        verifier = self._gateway.verifier
        if self._renewals is None or not stored.refresh_token or not verifier.is_past(stored.renew_at):
            return stored
        try:
            return await self._renewals.of((stored.id, stored.token), stored) or stored
        except Problem:
            if verifier.is_past(stored.expires_at):
                raise
            return stored

    def is_over(self, visitor: Visitor) -> bool:
        """Whether the session of an open page has ended, or must be renewed by another request."""
        if visitor.session is None or self._ended.is_known(visitor.session.id):
            return True
        return self._gateway.verifier.is_past(visitor.expires_at)

    # -- forms

    def csrf(self, visitor: Visitor) -> str:
        """Return the CSRF token of the forms of this visitor."""
        return self._csrf(visitor.session, visitor.browser)

    def is_csrf_valid(self, visitor: Visitor, token: str) -> bool:
        """Whether a form with this CSRF token was rendered for this visitor."""
        return visitor.known_browser and hmac.compare_digest(self.csrf(visitor).encode(), token.encode())

    def was_csrf_valid(self, visitor: Visitor, token: str) -> bool:
        """Whether a form was rendered for the session that this visitor had."""
        if visitor.over is None or not visitor.known_browser:
            return False
        return hmac.compare_digest(self._csrf(visitor.over, visitor.browser).encode(), token.encode())

    def _csrf(self, session: ConsoleSession | None, browser: str) -> str:
        return self.sign("csrf", session.id if session else "", browser)

    def sign(self, *parts: str) -> str:
        """Return the HMAC-SHA256 of these parts, in hexadecimal."""
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    # -- writing

    def remember(self, response: Response, visitor: Visitor) -> Response:
        """Set the cookies that a request changed: of a new browser, and of renewed tokens."""
        written = {name.partition("=")[0] for name in response.headers.getlist("set-cookie")}
        if not visitor.known_browser and BROWSER not in written:
            self._set(response, BROWSER, visitor.browser)
        if visitor.session is not None and visitor.is_renewed and SESSION not in written:
            self._write(response, visitor.session)
        return response

    def begin(self, response: Response, token: str, signed_in: SignedIn, refresh_token: str = "") -> None:
        """Start a session with a bearer token; raises ValueError when it does not fit into the cookies."""
        now = self._gateway.verifier.now
        session = ConsoleSession(
            secrets.token_urlsafe(24), signed_in.caller.member_id, token, now, now, now + self._lasts
        )
        self._write(response, self.with_tokens(session, token, signed_in, refresh_token))
        self._set(response, BROWSER, secrets.token_urlsafe(18))

    def with_tokens(
        self, session: ConsoleSession, token: str, signed_in: SignedIn, refresh_token: str
    ) -> ConsoleSession:
        """Return a session with new tokens."""
        lasts = max(0.0, signed_in.expires_at - self._gateway.verifier.now)
        ahead = min(RENEW_AHEAD_SECONDS, lasts * RENEW_AHEAD_SHARE)
        return replace(
            session,
            token=token,
            expires_at=signed_in.expires_at,
            renew_at=signed_in.expires_at - ahead,
            refresh_token=refresh_token,
        )

    def _write(self, response: Response, session: ConsoleSession) -> None:
        sealed = self.seal(session)
        for number, name in enumerate(SESSION_PARTS):
            if part := sealed[number * LONGEST_COOKIE : (number + 1) * LONGEST_COOKIE]:
                self._set(response, name, part)
            else:
                self.delete_cookie(response, name)

    def seal(self, session: ConsoleSession) -> str:
        """Return a session as its cookies hold it, if need be without its refresh token; raises ValueError."""
        sealed = self._sealer.seal(asdict(session))
        if len(sealed) > LONGEST_SESSION and session.refresh_token:
            log.warning("session_without_refresh", cookie_bytes=len(sealed), most=LONGEST_SESSION)
            sealed = self._sealer.seal(asdict(replace(session, refresh_token="")))
        if len(sealed) > LONGEST_SESSION:
            raise ValueError(f"the session has {len(sealed)} bytes, its cookies hold {LONGEST_SESSION}")
        return sealed

    async def end(self, response: Response, visitor: Visitor) -> None:
        """End the session of a visitor on every gateway and delete its cookies; raises `unavailable`."""
        if visitor.session is not None:
            await self._ended.add(visitor.session.id, visitor.session.ends_at)
            if self._issuer is not None:
                await self._issuer.revoke(visitor.session)
        for name in (*SESSION_PARTS, BROWSER):
            self.delete_cookie(response, name)

    def choose_language(self, response: Response, language: str) -> None:
        self._set(response, LANGUAGE, "en" if language == "en" else "ko", LANGUAGE_SECONDS)

    def set_cookie(self, response: Response, name: str, value: str, seconds: int) -> None:
        """Set a cookie of limited age with the attributes of all cookies of the console."""
        self._set(response, name, value, seconds)

    def delete_cookie(self, response: Response, name: str) -> None:
        response.delete_cookie(name, path="/", secure=self.secure, httponly=True, samesite="lax")

    def _set(self, response: Response, name: str, value: str, seconds: int | None = None) -> None:
        response.set_cookie(name, value, seconds, path="/", secure=self.secure, httponly=True, samesite="lax")


def language_of(request: Request) -> Language:
    """Return the chosen language of a browser, or else the preferred one."""
    chosen = request.cookies.get(LANGUAGE)
    if chosen == "ko" or chosen == "en":
        return "en" if chosen == "en" else "ko"
    return preferred(request.headers.get("accept-language", ""))


def _key(settings: GatewaySettings) -> bytes:
    """Return the key of cookies and forms; a random one where sign-in is not possible.

    Raises ValueError when sign-in is configured without a key.
    """
    secret = settings.console_key or settings.jwt_key
    if secret is None and settings.oidc_issuer is not None:
        raise ValueError("YEYAK_CONSOLE_KEY must be set: it seals the console's sessions")
    if settings.console_key is not None and len(settings.console_key.get_secret_value().encode()) < SHORTEST_KEY:
        raise ValueError(f"YEYAK_CONSOLE_KEY must have at least {SHORTEST_KEY} bytes: it seals the console's sessions")
    if secret is None:
        return secrets.token_bytes(32)
    return hashlib.sha256(b"console:" + secret.get_secret_value().encode()).digest()
