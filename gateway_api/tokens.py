"""Bearer tokens (JWT): authentication by a local key (HS256) or by the published keys of an issuer (JWKS)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from contracts.base import Caller, Role
from gateway_api.claims import ClaimMapping
from gateway_api.issuer_keys import PublishedKeys
from gateway_api.problems import Problem
from gateway_api.settings import GatewaySettings

LONGEST_TOKEN = 8192
LEEWAY_SECONDS = 60.0
"""How much the clock of an issuer may differ from this one, for `exp`, `nbf` and `iat`."""
SHORTEST_KEY = 32
"""Bytes; a shorter HS256 key can be guessed."""
CACHED_TOKENS = 10_000
CACHED_SECONDS = 300.0
"""How long a verified token is cached; after that a key that its issuer withdrew is rejected."""


def issue(
    subject: str,
    role: Role,
    grade: str | None = None,
    *,
    key: str,
    issuer: str = "yeyak.local",
    audience: str = "yeyak",
    lifetime: timedelta = timedelta(hours=12),
) -> str:
    """Sign a token for a local run; raises ValueError when the gateway would reject it."""
    now = datetime.now(UTC)
    claims = {"sub": subject, "role": role, "iss": issuer, "aud": audience, "iat": now, "exp": now + lifetime}
    if grade is not None:
        claims["grade"] = grade
    ClaimMapping().caller(claims)
    if len(key.encode()) < SHORTEST_KEY:
        raise ValueError(f"the key must have at least {SHORTEST_KEY} bytes")
    return jwt.encode(claims, key, "HS256")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A caller whose token was verified."""

    caller: Caller
    actor: str
    """The `actor` of messages, such as `customer:kim`."""
    cached_until: float
    """Seconds since 1970; from then on the token is verified again."""
    expires_at: float


class Verifier:
    """Verifies tokens and caches up to `CACHED_TOKENS` of them, because verifying a signature is slow."""

    def __init__(self, settings: GatewaySettings, clock: Callable[[], float] = time.time) -> None:
        self._issuers = with_and_without_slash([settings.jwt_issuer, *settings.jwt_more_issuers])
        self._audiences = [settings.jwt_audience, *settings.jwt_more_audiences]
        self._mapping = ClaimMapping.of(settings) if settings.jwt_jwks_url else ClaimMapping()
        self._clock = clock
        self._cache: dict[str, SignedIn] = {}
        self.published_keys = PublishedKeys(settings.jwt_jwks_url, self._cache.clear) if settings.jwt_jwks_url else None
        self._key = settings.jwt_key.get_secret_value() if settings.jwt_key and not self.published_keys else None
        if self.published_keys is None and (self._key is None or len(self._key.encode()) < SHORTEST_KEY):
            raise ValueError(f"YEYAK_JWT_KEY (at least {SHORTEST_KEY} bytes) or YEYAK_JWT_JWKS_URL must be set")

    async def verify(self, authorization: str) -> SignedIn:
        """Return the caller of an `Authorization` header; raises `not_signed_in`, or `unavailable` without keys."""
        scheme, _, token = authorization.partition(" ")
        cached = self._cache.get(token)
        if cached is not None and cached.cached_until > self._clock() and scheme.lower() == "bearer":
            return cached
        if scheme.lower() != "bearer" or not 0 < len(token) <= LONGEST_TOKEN:
            raise not_signed_in()
        try:
            signed_in = self._signed_in(await self._claims(token))
        except (jwt.PyJWTError, ValueError):
            raise not_signed_in() from None
        if len(self._cache) >= CACHED_TOKENS:
            self._cache.clear()
        self._cache[token] = signed_in
        return signed_in

    @property
    def now(self) -> float:
        """Seconds since 1970, by the clock of this verifier."""
        return self._clock()

    def is_past(self, instant: float) -> bool:
        """Whether an instant, in seconds since 1970, is over by the clock of this verifier."""
        return self._clock() >= instant

    async def _claims(self, token: str) -> dict[str, Any]:
        if self.published_keys is None:
            return self._decode(token, self._key, ["HS256"])
        header = jwt.get_unverified_header(token)
        key = await self.published_keys.find(header.get("kid"))
        if key is None:
            raise ValueError("the token names an unknown key")
        return self._decode(token, key.key, key.algorithms)

    def _decode(self, token: str, key: Any, algorithms: Sequence[str]) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=algorithms,
            audience=self._audiences,
            issuer=self._issuers,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud"]},
        )

    def _signed_in(self, claims: dict[str, Any]) -> SignedIn:
        caller = self._mapping.caller(claims)
        expires_at = float(claims["exp"])
        cached_until = min(expires_at + LEEWAY_SECONDS, self._clock() + CACHED_SECONDS)
        return SignedIn(caller, f"{caller.role}:{caller.member_id}", cached_until, expires_at)


def not_signed_in() -> Problem:
    return Problem("not_signed_in", headers={"www-authenticate": 'Bearer realm="yeyak"'})


def with_and_without_slash(issuers: Sequence[str]) -> list[str]:
    """Return each issuer as it is and with the other ending: the same one is written both ways."""
    names = [issuer.rstrip("/") for issuer in issuers]
    return [*names, *(f"{name}/" for name in names)]
