"""Prepare texts for storage: mask card numbers, and escape what PostgreSQL cannot store."""

from __future__ import annotations

import re

from workers.runtime.messaging.card_numbers import SHORTEST, holds_card_number

MASK = "*"
_UUID = re.compile(r"([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})")
_DIGITS = re.compile(r"\d(?:[\d\s\-\u00ad\u2010-\u2015\u2212\ufe63\uff0d]*\d)?")


def printable(body: bytes) -> str:
    """A body as text; bytes that are not UTF-8, and zero bytes, are escaped."""
    return body.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def mask_cards(text: str) -> str:
    """The text with each digit masked in a run of digits that contains a card number; UUIDs are left alone."""
    if not holds_card_number(text):
        return text
    parts = _UUID.split(text)
    masked = "".join(part if index % 2 else _mask_runs(part) for index, part in enumerate(parts))
    return re.sub(r"\d", MASK, masked) if holds_card_number(masked) else masked


def _mask_runs(part: str) -> str:
    def mask(run: re.Match[str]) -> str:
        around = part[max(0, run.start() - 1) : run.end() + 1]
        if len(run[0]) < SHORTEST or not holds_card_number(around):
            return run[0]
        return re.sub(r"\d", MASK, run[0])

    return _DIGITS.sub(mask, part)
