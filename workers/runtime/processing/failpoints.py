"""Named places where a test can kill a process or break a promise; off unless a test sets them.

In a test's own process, set `hook`. For a process that a test starts, `YEYAK_FAILPOINTS` names places and what
happens there: `rentals:committed=kill` ends the process as `kill -9` would, the first time it gets there;
`rentals:committed=kill@3` the third time. `rentals:committed=leak@8` keeps 8 MiB more each time, for drills.
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
    actions: dict[str, tuple[str, int]] = {}
    for part in specification.split(","):
        place, equals, action = part.strip().partition("=")
        name, _, count = action.partition("@")
        if not equals or name not in ("kill", "leak") or not (count or "1").isdigit():
            raise ValueError(f"YEYAK_FAILPOINTS: {part!r} is not of the form context:place=kill[@n] or =leak[@MiB]")
        actions[place] = name, int(count or 1)
    seen: Counter[str] = Counter()
    leaked: list[bytes] = []

    async def act(context: str, place: str) -> None:
        name = f"{context}:{place}"
        seen[name] += 1
        action, count = actions.get(name, ("", 0))
        if action == "leak":
            leaked.append(b"x" * (count * 2**20))
        elif action and count == seen[name]:
            os.kill(os.getpid(), signal.SIGKILL)

    hook = act
