"""Prepare what a message holds for storage: mask card numbers, escape what PostgreSQL cannot store, read ids."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from workers.runtime.messaging.card_numbers import find_card_numbers

MASK = "*"
_DIGIT = re.compile(r"\d")


def printable(body: bytes) -> str:
    """A body as text; bytes that are not UTF-8, and zero bytes, are escaped."""
    return body.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def id_in(value: Any) -> UUID | None:
    """The id that a property, a header or a field holds; None for anything else."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def mask_cards(text: str) -> str:
    """The text with each digit of a card number masked; everything else is left alone."""
    parts: list[str] = []
    position = 0
    for start, end in find_card_numbers(text):
        parts += text[position:start], _DIGIT.sub(MASK, text[start:end])
        position = end
    return "".join(parts) + text[position:]
