"""The published keys of an issuer (JWKS), and the algorithms that each of them may verify."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx
import jwt
import structlog

from gateway_api.problems import Problem

log = structlog.get_logger()

RSA_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVE_ALGORITHMS: Final = {
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}
SHORTEST_RSA_BITS = 2048
"""RFC 7518, sections 3.3 and 3.5."""
REFRESH_SECONDS = 600.0
RETRY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key with the algorithms that a token may name for it: those of its type, or the one that it names."""

    key: Any
    algorithms: tuple[str, ...]
    data: dict[str, Any]
    """The key as it was published (RFC 7517)."""


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
        self._keys: dict[str | None, IssuerKey] = {}
        self._tried_at = self._fetched_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    @property
    def available(self) -> bool:
        """Whether the keys were fetched once."""
        return bool(self._keys)

    async def find(self, kid: str | None) -> IssuerKey | None:
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
            keys = verification_keys(document["keys"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("issuer_keys_unavailable", error=type(error).__name__)
            return
        self._fetched_at = self._clock()
        if {kid: key.data for kid, key in keys.items()} != {kid: key.data for kid, key in self._keys.items()}:
            self._keys = keys
            self._on_change()


def verification_keys(published: list[dict[str, Any]]) -> dict[str | None, IssuerKey]:
    """Return the public signing keys by key id; a single one also under None."""
    keys: dict[str | None, IssuerKey] = {}
    for data in published:
        if data.get("use", "sig") != "sig" or "verify" not in data.get("key_ops", ["verify"]):
            continue
        if key := _read(data):
            keys[data.get("kid")] = key
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))
    return keys


def _read(data: dict[str, Any]) -> IssuerKey | None:
    """Return a key that may verify tokens; None for a secret, a weak key, and a type that is not known."""
    curve = (str(data.get("kty")), str(data.get("crv")))
    of_type = RSA_ALGORITHMS if data.get("kty") == "RSA" else CURVE_ALGORITHMS.get(curve)
    named = data.get("alg")
    algorithms = tuple(one for one in of_type or () if named in (None, one))
    if not algorithms:
        return None
    try:
        key = jwt.PyJWK.from_dict(data, algorithms[0]).key
    except jwt.PyJWTError:
        return None
    too_short = data["kty"] == "RSA" and key.key_size < SHORTEST_RSA_BITS
    return None if too_short else IssuerKey(key, algorithms, data)
