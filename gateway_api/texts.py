"""Which characters a text from outside may hold, and its normal form (Unicode NFC): one rule for every route."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 2000
"""Characters before they are composed; three or four may become one."""
MOST_MARKS = 30
"""Combining marks in a row: the limit of Unicode's stream-safe text format (UAX #15)."""

_PLAIN = re.compile(r"[!-~가-힣ㄱ-ㅣ一-鿿](?:[ -~가-힣ㄱ-ㅣ一-鿿]*)")
"""Texts that need no further look: they begin with a visible character of ASCII, Hangul or hanja, and hold no other."""
_UNREADABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_LINE_BREAKS = "\n\r\t"
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\ufffc\u034f")
"""Invisible although Unicode calls them letters, symbols or marks."""
_JOINERS = frozenset("\u200c\u200d")
_KEYCAP = "\u20e3"
_SYMBOLS = frozenset({"So", "Sm", "Sk", "Po", "Pd"})
_PICTOGRAPHS = range(0x1F000, 0x1FB00)
"""Reserved for pictographs: a newer telephone writes some that this Python does not know yet."""


def normalized(text: str) -> str:
    """Return the text in Unicode's normal form C, in which composed and decomposed spellings are one.

    What no field accepts is returned as it is: more than `LONGEST` characters, and rows of more than `MOST_MARKS`
    combining marks, whose sorting takes time in proportion to the square of their number.
    """
    if _PLAIN.fullmatch(text) or len(text) > LONGEST or _has_long_row_of_marks(text):
        return text
    return unicodedata.normalize("NFC", text)


def is_readable(text: str) -> bool:
    """Whether a text holds no control, format, private, unassigned or lone surrogate character.

    Line breaks and tabs are readable; so are joiners and variation selectors where writing needs them: between
    pictographs and in Arabic and Indic words.
    """
    if _PLAIN.fullmatch(text):
        return True
    return all(_is_readable_at(text, index) for index in range(len(text))) and not _has_long_row_of_marks(text)


def is_visible(text: str) -> bool:
    """Whether a text holds a character that can be seen."""
    return bool(_PLAIN.match(text)) or any(map(_can_be_seen, text))


def is_one_line(text: str) -> bool:
    """Whether a text holds neither line breaks nor tabs."""
    return not any(character in text for character in _LINE_BREAKS)


def _is_readable_at(text: str, index: int) -> bool:
    character = text[index]
    before = text[index - 1] if index else ""
    if character in _JOINERS:
        return _joins(before)
    if "\ufe00" <= character <= "\ufe0f":
        return _has_variants(before) or text[index + 1 : index + 2] == _KEYCAP
    if character in _FILLERS:
        return character in "\u2800\ufffc"
    if character in _LINE_BREAKS:
        return True
    return ord(character) in _PICTOGRAPHS or unicodedata.category(character) not in _UNREADABLE


def _can_be_seen(character: str) -> bool:
    shown = unicodedata.category(character)[0] not in "ZCM" or ord(character) in _PICTOGRAPHS
    return shown and character not in _FILLERS


def _has_long_row_of_marks(text: str) -> bool:
    row = 0
    for mark in map(unicodedata.combining, text):
        row = row + 1 if mark else 0
        if row > MOST_MARKS:
            return True
    return False


def _joins(before: str) -> bool:
    """Whether a joiner after this character changes how it is written."""
    return before != "" and (_has_variants(before) or before == "\ufe0f" or "\u0600" <= before <= "\u1cff")


def _has_variants(before: str) -> bool:
    return before != "" and (
        (unicodedata.category(before) in _SYMBOLS and not before.isascii()) or ord(before) in _PICTOGRAPHS
    )
