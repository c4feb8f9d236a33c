"""Output of the commands. What comes from data cannot move the cursor, change colours or reorder the text."""

from __future__ import annotations

import unicodedata

import typer

_LAYOUT = "\n\t"
_JOINERS = "\u200c\u200d"
"""Invisible, but pictographs and some scripts are written with them."""


def echo(text: str = "", *, err: bool = False) -> None:
    """Print a text and a line break to stdout or stderr; its own line breaks and tabs are kept."""
    typer.echo(escaped(text, keep=_LAYOUT), err=err)


def escaped(text: str, keep: str = "") -> str:
    r"""Return a text with its control, format, private and unassigned characters as JSON writes them: `\u001b`.

    `keep` holds the control characters that stay.
    """
    if text.isprintable():
        return text
    return "".join(one if one in keep or _is_harmless(one) else _escape(one) for one in text)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
