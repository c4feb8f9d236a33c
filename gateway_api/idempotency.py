"""Repeated requests: the message id that an idempotency key stands for, and the digest that tells two requests apart.

Both are stored with a request's answer. Changing what they are computed from makes every stored answer unreachable:
`tests/gateway_api/test_idempotency.py` pins their values.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Protocol
from uuid import UUID, uuid4, uuid5

from jiter import from_json

from contracts.base import Caller
from gateway_api import bodies, texts

REQUESTS = UUID("5b0c9a52-6d7e-4f0e-9a3b-0f5d6a0c7e11")
"""The UUID namespace of message ids that are derived from idempotency keys."""

_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
UUID_TEXT = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class Routed(Protocol):
    """What identifies a route: its method, and the template of its path."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...


def message_id(caller: Caller, route: Routed, key: bytes | None) -> UUID:
    """Derive a message id from caller, route and idempotency key; a random one without a key. Raises `invalid`."""
    if key is None:
        return uuid4()
    if not _KEY.fullmatch(key):
        raise bodies.invalid([("Idempotency-Key", "visible")])
    parts = (caller.role, caller.member_id, route.method, route.path, key.decode())
    return uuid5(REQUESTS, "".join(f"{len(part)}:{part}" for part in parts))


def digest(path: Mapping[str, str], body: bytes) -> str:
    """Return the SHA-256 of path parameters and JSON body, by which a reused idempotency key is detected.

    Spacing, the order of keys, escapes and the normal form of texts make no difference, nor does `{}` for no body.
    Everything else does: `1` and `1.0`, a null and a field that is left out. The body is that of
    a valid form: its texts are readable, so composing them is cheap.
    """
    hashed = hashlib.sha256()
    for name, value in sorted(path.items()):
        normalized = value.lower() if UUID_TEXT.fullmatch(value) else texts.normalized(value)
        hashed.update(f"{name}={len(normalized)}:{normalized};".encode())
    hashed.update(_canonical(body or b"{}"))
    return hashed.hexdigest()


def _canonical(body: bytes) -> bytes:
    tree = from_json(body, cache_mode="none")
    text = json.dumps(tree, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return unicodedata.normalize("NFC", text).encode()
