"""Idempotency keys: the message id of a repeated request, and the digest that detects a key used for another one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Protocol
from uuid import UUID, uuid4, uuid5

from contracts.base import Caller
from gateway_api import bodies

REQUESTS = UUID("5b0c9a52-6d7e-4f0e-9a3b-0f5d6a0c7e11")
"""The UUID namespace of message ids that are derived from idempotency keys."""
UUID_TEXT = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")

_KEY = re.compile(rb"[\x21-\x7e]{1,255}")


class RouteKey(Protocol):
    """What a key belongs to, besides its caller."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...


def message_id(caller: Caller, route: RouteKey, key: bytes | None) -> UUID:
    """Derive a message id from caller, route and idempotency key; a random one without a key. Raises `invalid`."""
    if key is None:
        return uuid4()
    if not _KEY.fullmatch(key):
        raise bodies.invalid([("Idempotency-Key", "visible")])
    parts = (caller.role, caller.member_id, route.method, route.path, key.decode())
    return uuid5(REQUESTS, "".join(f"{len(part)}:{part}" for part in parts))


def digest(path: Mapping[str, str], body: bytes) -> str:
    """Return the SHA-256 of path parameters and raw body, by which a reused idempotency key is detected."""
    hashed = hashlib.sha256()
    for name, value in sorted(path.items()):
        normalized = value.lower() if UUID_TEXT.fullmatch(value) else value
        hashed.update(f"{name}={len(value)}:{normalized};".encode())
    hashed.update(body)
    return hashed.hexdigest()
