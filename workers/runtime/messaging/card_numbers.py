"""Detection of card numbers in texts. The system accepts none anywhere; every input check and mask uses this rule.

A card number has a network's prefix, a length that this network issues, the check digit where the network uses one, and
a grouping in which cards are written. All other digits are phone numbers, postcodes, ids or amounts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

LONGEST = 19

MOST_EXAMINED = 50
"""How many lookalikes (prefix and grouping of a card) one text may hold; see `holds_card_number`."""


class _Network(NamedTuple):
    """The numbers of a card network: prefixes as a pattern, lengths in digits, and those that have a check digit.

    Standards reserve 16 to 19 digits for some; 17 and 18 are in use by few, and by many kinds of ids.
    """

    prefix: str
    lengths: frozenset[int]
    checked: frozenset[int]


def _network(prefix: str, *lengths: int, unchecked: tuple[int, ...] = ()) -> _Network:
    return _Network(prefix, frozenset(lengths), frozenset(lengths) - frozenset(unchecked))


_NETWORKS = (
    _network("4", 13, 16, 19),  # Visa
    _network("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", 16),  # Mastercard
    _network("3[47]", 15),  # American Express
    _network("30[0-5]|309|3[689]", 14, 16, 19),  # Diners Club
    _network("6011|64[4-9]|65", 16, 19),  # Discover
    _network("352[89]|35[3-8]", 16, 19),  # JCB
    _network("62|81", 16, 19, unchecked=(16, 19)),  # UnionPay, which also issues numbers without a check digit
    _network("50|5[678]|6[37]", 16, 19),  # Maestro
    _network("5018|5020|503[38]|5868|5893|6304|6759|676[1-3]", *range(12, 20)),  # Maestro's other lengths
    _network("9", 16),  # Korean domestic cards, Troy
    _network("220[0-4]", 16),  # Mir
    _network("60|82|508", 16),  # RuPay, Hipercard
)
_PREFIXES = [(re.compile(network.prefix), network) for network in _NETWORKS]

_SEPARATOR = (
    r"[\s"
    r"\-\u2010-\u2015\u2043\u2212\u2e3a\u2e3b\u301c\u3030\ufe58\ufe63\uff0d"  # dashes
    r"._\u00b7\u2022\u2024\u2027\u3002\u30fb\ufe52\uff0e\uff61\uff65"  # dots
    r"\u00ad\u200b-\u200f\u2060-\u2064\ufe0f\u20e3\ufeff]"  # invisible
)
_GAP = rf"{_SEPARATOR}{{1,4}}+"
_NOT_IN_A_RUN = "".join(rf"(?<![0-9]{_SEPARATOR}{{{width}}}.)" for width in range(1, 5))
_FIRST_DIGITS = r"4|9|5[0-8]|2[2-7]|3[04-9]|6[02-7]|8[12]"

_LOOKALIKE = re.compile(
    r"[2-689](?<![0-9A-Za-z].)(?:"
    rf"(?<=(?={_FIRST_DIGITS}).)[0-9]{{3}}+(?:"
    rf"(?:{_GAP})?+[0-9]{{4}}+(?:{_GAP})?+[0-9]{{4}}"  # in groups of four or their multiples, or in one
    rf"|{_GAP}[0-9]{{6}}+{_GAP}[0-9]{{4}}"  # American Express, Diners Club
    rf"|{_GAP}[0-9]{{3}}+{_GAP}[0-9]{{3}}+{_GAP}[0-9]{{3}}"  # Visa's 13 digits
    rf"|[0-9]{{2}}+{_GAP}[0-9]{{13}})"  # UnionPay's 19 digits
    rf"|{_NOT_IN_A_RUN}(?:"  # spelt in many small groups, with no other digits around
    rf"[0-9]{{0,3}}+(?:{_GAP}[0-9]{{1,4}}+){{6,18}}+|[0-9]{{0,2}}+(?:{_GAP}[0-9]{{1,3}}+){{4,18}}+"
    rf")(?!(?:{_GAP})?[0-9]))",
    re.DOTALL,
)
_FIRST_OF_RUN = re.compile(rf"[0-9]{_NOT_IN_A_RUN}", re.DOTALL)
_GROUP = re.compile(rf"([0-9]+)(?:{_GAP})?+")

_UUID = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z])")
_UUID_LENGTH = 36

_SHAPES = (
    ([4, 10], (14, 15)),  # Diners Club, American Express
    ([8], (14, 15)),
    ([4, 7, 10], (13,)),  # Visa's 13 digits
    ([6], (19,)),  # UnionPay's 19 digits
)
"""Where the gaps are, and the lengths, of cards that are not written in groups of four."""
_SPELT_GROUPS = 7
_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")


def holds_card_number(text: str) -> bool:
    """Whether a text holds a card number, however it is spaced; linear in the length of the text.

    Digits of any script count; groups may be separated by spaces, dashes, dots and invisible characters. Latin letters
    and digits beside a number make it a part of an id. A text with more than `MOST_EXAMINED` lookalikes counts as
    holding one: no ordinary text does, and the work stays bounded.
    """
    return any(end or examined >= MOST_EXAMINED for examined, (_, end) in enumerate(_examine(text)))


def find_card_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Find the start and end of each card number in a text."""
    return ((start, end) for start, end in _examine(text) if end)


def _examine(text: str) -> Iterator[tuple[int, int]]:
    """Iterate over the lookalikes: the start, and the end of the card number there or 0 when there is none."""
    text = _with_ascii_digits(text)
    found = _LOOKALIKE.search(text)
    while found:
        end = _end_of_card(text, found.start())
        if end and _is_in_uuid(text, found.start()):
            end = 0
        yield found.start(), end
        found = _LOOKALIKE.search(text, end or found.start() + 1)


def _with_ascii_digits(text: str) -> str:
    """Replace the decimal digits of other scripts; each character keeps its place."""
    if text.isascii():
        return text
    foreign = {digit: str(unicodedata.decimal(digit)) for digit in filter(str.isdecimal, set(text)) if digit > "9"}
    if len(foreign) > 20:  # more than two scripts
        return "".join(map(foreign.get, text, text))
    for digit, ascii_digit in foreign.items():
        text = text.replace(digit, ascii_digit)
    return text


def _end_of_card(text: str, start: int) -> int:
    """Return where the card number ends that starts here with a group of digits; 0 when there is none."""
    digits, sizes, gaps, group = "", list[int](), set[str](), _GROUP.match(text, start)
    is_first = _FIRST_OF_RUN.match(text, start) is not None
    while group and len(digits) + len(group[1]) <= LONGEST:
        digits += group[1]
        sizes.append(len(group[1]))
        after = group.end(1)
        following = _GROUP.match(text, group.end()) if group.end() > after else None
        whole = is_first and following is None
        if not _is_latin(text[after : after + 1]) and _is_grouped(sizes, gaps, whole) and _is_card(digits):
            return after
        gaps.add(text[after : group.end()])
        group = following
    return 0


def _is_in_uuid(text: str, position: int) -> bool:
    around = _UUID.finditer(text, max(0, position - _UUID_LENGTH), position + _UUID_LENGTH + 1)
    return any(uuid.start() <= position < uuid.end() for uuid in around)


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _is_grouped(sizes: list[int], gaps: set[str], whole: bool) -> bool:
    """Whether cards are written in groups of these sizes with these gaps; `whole` when no other digits are around."""
    if not whole and len(gaps) > 1:
        return False
    *borders, total = accumulate(sizes)
    if not borders or any(borders == shape and total in lengths for shape, lengths in _SHAPES):
        return True
    if all(border % 4 == 0 for border in borders):
        return sizes[-1] < 4 or sizes[-1] % 4 == 0 or total == LONGEST
    even = set(sizes[:-1]) <= {sizes[0]} and sizes[-1] <= sizes[0] <= 3
    return whole and (even or (len(sizes) >= _SPELT_GROUPS and total >= 15))


def _is_card(digits: str) -> bool:
    length = len(digits)
    return any(
        length in network.lengths and prefix.match(digits) and (length not in network.checked or _passes_luhn(digits))
        for prefix, network in _PREFIXES
    )


def _passes_luhn(digits: str) -> bool:
    doubled = digits[-2::-2].encode().translate(_DOUBLED)
    return (sum(map(int, digits[-1::-2])) + sum(doubled) - 48 * len(doubled)) % 10 == 0
