"""Prepare texts for storage: mask card numbers, and escape what PostgreSQL cannot store."""

from __future__ import annotations

import re

from workers.runtime.messaging.card_numbers import find_card_numbers

MASK = "*"
_DIGIT = re.compile(r"\d")


def printable(body: bytes) -> str:
    """A body as text; bytes that are not UTF-8, and zero bytes, are escaped."""
    return body.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def mask_cards(text: str) -> str:
    """The text with each digit of a card number masked; everything else is left alone."""
    parts: list[str] = []
    position = 0
    for start, end in find_card_numbers(text):
        parts += text[position:start], _DIGIT.sub(MASK, text[start:end])
        position = end
    return "".join(parts) + text[position:]
