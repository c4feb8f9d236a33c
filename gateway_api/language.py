"""Language negotiation: Korean, unless the caller prefers English."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

Language = Literal["ko", "en"]

_RANGE = re.compile(
    r"\s*(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*[qQ]\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?$"
)
_LONGEST = 500


@lru_cache(maxsize=1024)
def preferred(accept_language: str) -> Language:
    """Return the language of an `Accept-Language` header; of two with the same weight, the first one."""
    wanted: dict[str, tuple[float, int]] = {}
    for position, part in enumerate(accept_language[:_LONGEST].split(",")):
        if found := _RANGE.match(part):
            name = found[1].lower().partition("-")[0]
            weight = (float(found[2] or 1), -position)
            wanted[name] = max(weight, wanted.get(name, weight))
    nothing = (0.0, -_LONGEST)
    anything = wanted.get("*", nothing)
    korean, english = wanted.get("ko", anything), wanted.get("en", anything)
    return "en" if english[0] > 0 and english > korean else "ko"
