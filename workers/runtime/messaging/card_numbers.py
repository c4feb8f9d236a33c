"""Detection of card numbers in texts. The system accepts none anywhere; every input check and mask uses this rule."""

from __future__ import annotations

import re

SHORTEST, LONGEST = 13, 19

_UUID = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z])")
_GAP = r"[\s\-\u00ad\u2010-\u2015\u2212\ufe63\uff0d]+"
_RUN = re.compile(rf"\d+(?:{_GAP}\d+)*")
_GROUP = re.compile(r"\d+")


def holds_card_number(text: str) -> bool:
    """Whether a text contains 13 to 19 digits that pass the Luhn check and are not part of a longer word or number.

    The digits may be separated by spaces or hyphens; digits, spaces and hyphens of any script count. UUIDs are skipped.
    """
    text = _UUID.sub("|", text)
    return any(_card_in_run(text, run.start(), run.end()) for run in _RUN.finditer(text) if len(run[0]) >= SHORTEST)


def _card_in_run(text: str, start: int, end: int) -> bool:
    """Check each sequence of whole digit groups in a run: `12 4242 4242 4242 4242` contains a card number."""
    touched = start > 0 and text[start - 1].isalnum(), end < len(text) and text[end].isalnum()
    groups = _GROUP.findall(text, start, end)
    sums = _luhn_sums([int(digit) for group in groups for digit in group])
    offset = 0
    for first, group in enumerate(groups):
        stop = offset
        for last in range(first, len(groups)):
            stop += len(groups[last])
            if stop - offset > LONGEST:
                break
            torn = (touched[0] and first == 0) or (touched[1] and last == len(groups) - 1)
            if stop - offset >= SHORTEST and not torn and (sums[stop % 2][stop] - sums[stop % 2][offset]) % 10 == 0:
                return True
        offset += len(group)
    return False


def _luhn_sums(digits: list[int]) -> tuple[list[int], list[int]]:
    """Prefix sums with even, and with odd, positions doubled; Luhn doubles every second digit from the end."""
    even, odd = [0], [0]
    for position, digit in enumerate(digits):
        doubled = digit * 2 - 9 if digit > 4 else digit * 2
        even.append(even[-1] + (digit if position % 2 else doubled))
        odd.append(odd[-1] + (doubled if position % 2 else digit))
    return even, odd
