"""Delays for drills: `cafe.menu=400-620,payments=50` makes contexts slow, in milliseconds per message."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass

_DELAY = re.compile(r"(?P<context>[a-z_.]+)=(?P<low>\d+(?:\.\d+)?)(?:-(?P<high>\d+(?:\.\d+)?))?")


@dataclass(frozen=True)
class Delay:
    """From `low` to `high` milliseconds."""

    low: float
    high: float

    async def wait(self) -> None:
        await asyncio.sleep(random.uniform(self.low, self.high) / 1000)


def delays(text: str) -> dict[str, Delay]:
    """By the name of the context; raises ValueError for anything else than `context=ms` or `context=ms-ms`."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        delay = _DELAY.fullmatch(part)
        if delay is None:
            raise ValueError(f"{part!r} is no delay: write context=ms or context=ms-ms")
        low = float(delay["low"])
        found[delay["context"]] = Delay(low, float(delay["high"] or low))
    return found
