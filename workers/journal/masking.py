"""What a filed text must not hold: card numbers, and what PostgreSQL cannot keep."""

from __future__ import annotations

import re

from workers.runtime.messaging.card_numbers import SHORTEST, holds_card_number

MASK = "*"
_UUID = re.compile(r"([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})")
_DIGITS = re.compile(r"\d(?:[\d\s\-\u00ad\u2010-\u2015\u2212\ufe63\uff0d]*\d)?")


def readable(body: bytes) -> str:
    """A body as a text that can be kept: what is not UTF-8, and the zero byte, are shown escaped."""
    return body.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def mask_cards(text: str) -> str:
    """The text with every digit of a run that holds a card number replaced; UUIDs stay."""
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
