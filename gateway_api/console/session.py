"""Sessions without a store: the session cookie holds the same signed token that the API accepts."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from contracts.base import Caller
from gateway_api.gateway import Gateway
from gateway_api.language import Language, preferred
from gateway_api.problems import Problem
from gateway_api.settings import GatewaySettings

SESSION: Final = "yeyak_session"
BROWSER: Final = "yeyak_browser"
LANGUAGE: Final = "yeyak_language"
LONGEST_COOKIE = 3_800
"""Browsers drop a cookie of more than 4096 bytes, its name and attributes included."""
LANGUAGE_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Visitor:
    """The sender of a request; `caller` is None without a valid session."""

    caller: Caller | None
    token: str = field(repr=False)
    """The bearer token; excluded from `repr` so that no log contains it."""
    language: Language
    browser: str
    """A random id of this browser, to which CSRF tokens are bound before sign-in."""
    known_browser: bool
    expires_at: float = 0.0

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

    def __init__(self, gateway: Gateway, settings: GatewaySettings) -> None:
        self._gateway = gateway
        self._key = _key(settings)
        self.secure = (settings.console_url or "").startswith("https://")

    async def visitor(self, request: Request) -> Visitor:
        """Return the sender of a request; an invalid or expired token counts as no session."""
        token = request.cookies.get(SESSION, "")
        browser = request.cookies.get(BROWSER, "")
        name, known = browser or secrets.token_urlsafe(18), bool(browser)
        try:
            signed_in = await self._gateway.verifier.verify(f"Bearer {token}")
        except Problem:
            return Visitor(None, "", language_of(request), name, known)
        return Visitor(signed_in.caller, token, language_of(request), name, known, signed_in.expires_at)

    def csrf(self, visitor: Visitor) -> str:
        """Return the CSRF token of the forms of this visitor."""
        return self.sign("csrf", visitor.token, visitor.browser)

    def is_csrf_valid(self, visitor: Visitor, token: str) -> bool:
        """Whether a form with this CSRF token was rendered for this visitor."""
        return visitor.known_browser and hmac.compare_digest(self.csrf(visitor).encode(), token.encode())

    def sign(self, *parts: str) -> str:
        """Return the HMAC-SHA256 of these parts, in hexadecimal."""
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def remember(self, response: Response, visitor: Visitor) -> Response:
        """Set the browser cookie of a new browser."""
        if not visitor.known_browser:
            self._set(response, BROWSER, visitor.browser)
        return response

    def begin(self, response: Response, token: str) -> None:
        """Start a session with a bearer token; raises ValueError when it does not fit into a cookie."""
        if len(token) > LONGEST_COOKIE:
            raise ValueError("the issuer's token is too long for a cookie")
        self._set(response, SESSION, token)
        self._set(response, BROWSER, secrets.token_urlsafe(18))

    def end(self, response: Response) -> None:
        """Delete the cookies of the session."""
        for name in (SESSION, BROWSER):
            response.delete_cookie(name, path="/", secure=self.secure, httponly=True, samesite="lax")

    def choose_language(self, response: Response, language: str) -> None:
        self._set(response, LANGUAGE, "en" if language == "en" else "ko", LANGUAGE_SECONDS)

    def set_cookie(self, response: Response, name: str, value: str, seconds: int) -> None:
        """Set a cookie of limited age with the attributes of all cookies of the console."""
        self._set(response, name, value, seconds)

    def _set(self, response: Response, name: str, value: str, seconds: int | None = None) -> None:
        response.set_cookie(name, value, seconds, path="/", secure=self.secure, httponly=True, samesite="lax")


def language_of(request: Request) -> Language:
    """Return the chosen language of a browser, or else the preferred one."""
    chosen = request.cookies.get(LANGUAGE)
    if chosen == "ko" or chosen == "en":
        return "en" if chosen == "en" else "ko"
    return preferred(request.headers.get("accept-language", ""))


def _key(settings: GatewaySettings) -> bytes:
    """Return the signing key of forms; a random one where sign-in is not possible.

    Raises ValueError when sign-in is configured without a key.
    """
    secret = settings.console_key or settings.jwt_key
    if secret is None and settings.oidc_issuer is not None:
        raise ValueError("YEYAK_CONSOLE_KEY must be set: it signs the console's forms")
    if secret is None:
        return secrets.token_bytes(32)
    return hashlib.sha256(b"console:" + secret.get_secret_value().encode()).digest()
