"""Encrypted and authenticated values for cookies (Fernet), of which a browser can read and change nothing."""

from __future__ import annotations

import base64
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic_core import from_json, to_json


class Sealer:
    """Seals values for one purpose, with a key of its own: no cookie can be used in place of another."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        key = HKDF(SHA256(), 32, salt=None, info=f"yeyak console: {purpose}".encode()).derive(secret)
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def seal(self, fields: dict[str, Any]) -> str:
        """Return the fields as text for a cookie."""
        return self._fernet.encrypt(to_json(fields)).decode().rstrip("=")

    def unseal(self, text: str, seconds: int) -> dict[str, Any] | None:
        """Return sealed fields; None when they are older than `seconds`, or not sealed by this key."""
        try:
            fields: dict[str, Any] = from_json(self._fernet.decrypt(text + "=" * (-len(text) % 4), seconds))
        except (InvalidToken, ValueError):
            return None
        return fields
