"""Bearer tokens (JWT): authentication by a local key (HS256) or by the published keys of an issuer (JWKS)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast, get_args

import httpx
import jwt
import structlog

from contracts.base import LONGEST_MEMBER_ID, Caller, Role
from gateway_api.problems import Problem
from gateway_api.settings import GatewaySettings

log = structlog.get_logger()

ASYMMETRIC = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
LONGEST_TOKEN = 8192
LONGEST_SUBJECT = LONGEST_MEMBER_ID
SHORTEST_KEY = 32
"""Bytes; a shorter HS256 key can be guessed."""
CACHED_TOKENS = 10_000
CACHED_SECONDS = 300.0
"""How long a verified token is cached; after that a key that its issuer withdrew is rejected."""
REFRESH_SECONDS = 600.0
RETRY_SECONDS = 10.0


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
    _caller(claims)
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
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
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

    def is_past(self, instant: float) -> bool:
        """Whether an instant, in seconds since 1970, is over by the clock of this verifier."""
        return self._clock() >= instant

    async def _claims(self, token: str) -> dict[str, Any]:
        if self.published_keys is None:
            return self._decode(token, self._key, "HS256")
        header = jwt.get_unverified_header(token)
        key = await self.published_keys.find(header.get("kid"))
        if key is None:
            raise ValueError("the token names an unknown key")
        return self._decode(token, key, key.algorithm_name)

    def _decode(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._audience,
            issuer=self._issuer,
            options={"require": ["exp", "iss", "aud", "sub"], "verify_iat": False},
        )

    def _signed_in(self, claims: dict[str, Any]) -> SignedIn:
        caller = _caller(claims)
        expires_at = float(claims["exp"])
        cached_until = min(expires_at, self._clock() + CACHED_SECONDS)
        return SignedIn(caller, f"{caller.role}:{caller.member_id}", cached_until, expires_at)


def not_signed_in() -> Problem:
    return Problem("not_signed_in", headers={"www-authenticate": 'Bearer realm="yeyak"'})


def _caller(claims: dict[str, Any]) -> Caller:
    """Return the caller that claims describe; raises ValueError for a missing or wrong claim."""
    subject, role, grade = claims.get("sub"), claims.get("role"), claims.get("grade", "STANDARD")
    visible = isinstance(subject, str) and subject.isprintable() and not any(map(str.isspace, subject))
    if not visible or not 0 < len(cast(str, subject)) <= LONGEST_SUBJECT:
        raise ValueError(f"a subject has 1 to {LONGEST_SUBJECT} visible characters")
    if role not in get_args(Role):
        raise ValueError("a role is customer, staff or operator")
    if grade not in ("STANDARD", "VIP"):
        raise ValueError("a grade is STANDARD or VIP")
    return Caller(member_id=cast(str, subject), role=role, grade=grade)


class PublishedKeys:
    """The keys of an issuer by key id; fetched at first use, when old, and for an unknown key id.

    `on_change` is called when the keys differ from those before.
    """

    def __init__(
        self,
        url: str,
        on_change: Callable[[], None],
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._on_change = on_change
        self._transport = transport
        self._clock = clock
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._tried_at = self._fetched_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    @property
    def available(self) -> bool:
        """Whether the keys were fetched once."""
        return bool(self._keys)

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        """Return a key by its id, without an id the issuer's only one; raises `unavailable` before the first fetch."""
        if kid not in self._keys:
            await self.refresh()
        elif self._clock() - self._fetched_at > REFRESH_SECONDS:
            self._start_fetch()
        if not self._keys:
            raise Problem("unavailable")
        return self._keys.get(kid)

    async def refresh(self) -> None:
        """Fetch the keys now, unless that was tried less than `RETRY_SECONDS` ago."""
        self._start_fetch()
        if self._fetching is not None:
            await asyncio.shield(self._fetching)

    def _start_fetch(self) -> None:
        tried_recently = self._clock() - self._tried_at < RETRY_SECONDS
        if (self._fetching is None or self._fetching.done()) and not tried_recently:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            async with httpx.AsyncClient(transport=self._transport, timeout=3) as client:
                document = (await client.get(self._url)).raise_for_status().json()
            keys = _verification_keys(document["keys"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("issuer_keys_unavailable", error=type(error).__name__)
            return
        self._fetched_at = self._clock()
        if {kid: key._jwk_data for kid, key in keys.items()} != {kid: key._jwk_data for kid, key in self._keys.items()}:
            self._keys = keys
            self._on_change()


def _verification_keys(published: list[dict[str, Any]]) -> dict[str | None, jwt.PyJWK]:
    """Return the asymmetric signing keys by key id; a single one also under None."""
    keys: dict[str | None, jwt.PyJWK] = {}
    for data in published:
        try:
            key = jwt.PyJWK.from_dict(data)
        except jwt.PyJWTError:
            continue
        if key.algorithm_name in ASYMMETRIC and data.get("use", "sig") == "sig":
            keys[key.key_id] = key
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))
    return keys
