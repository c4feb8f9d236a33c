"""Asks a person before data is deleted."""

import sys

YES = "--yes"
NOTHING_DELETED = "nothing was deleted: `yeyak reset --yes` (or `make reset force=1`) does not ask"


def agrees(question: str) -> bool:
    """Ask on the terminal; somebody who cannot be asked does not agree."""
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
