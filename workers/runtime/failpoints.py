"""Named places where a test can kill a process or break a promise; off unless a test sets them.

In a test's own process, set `hook`. For a process that a test starts, `YEYAK_FAILPOINTS` names places and what
happens there: `rentals:committed=kill` ends the process as `kill -9` would, the first time it gets there;
`rentals:committed=kill@3` the third time.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

Hook = Callable[[str, str], Awaitable[None]]

hook: Hook | None = None
"""Called with the context and the place; None costs nothing."""


def install(specification: str) -> None:
    """Obey `YEYAK_FAILPOINTS`; raises ValueError for one that cannot be read."""
    global hook
    if not specification:
        return
    kills: dict[str, int] = {}
    for part in specification.split(","):
        place, equals, action = part.strip().partition("=")
        name, _, count = action.partition("@")
        if not equals or name != "kill" or not (count or "1").isdigit():
            raise ValueError(f"YEYAK_FAILPOINTS: {part!r} is not of the form context:place=kill[@n]")
        kills[place] = int(count or 1)
    seen: Counter[str] = Counter()

    async def kill(context: str, place: str) -> None:
        name = f"{context}:{place}"
        seen[name] += 1
        if kills.get(name) == seen[name]:
            os.kill(os.getpid(), signal.SIGKILL)

    hook = kill
