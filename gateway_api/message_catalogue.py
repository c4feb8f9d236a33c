"""The messages of the system as the page `/asyncapi` lists them, from the catalogue of contracts."""

from __future__ import annotations

import importlib
import pkgutil

import contracts
from contracts.base import CATALOGUE, Event, Message, Query
from contracts.journal import take_up_dead_letter


def catalogue() -> dict[str, type[Message]]:
    """Return every message by its topic; imports all contracts."""
    for module in pkgutil.walk_packages(contracts.__path__, "contracts."):
        importlib.import_module(module.name)
    for context in {message.owner() for message in CATALOGUE.values()}:
        take_up_dead_letter(context)
    return dict(sorted(CATALOGUE.items()))


def kind(message: type[Message]) -> str:
    """Return `event`, `query` or `command`."""
    if issubclass(message, Event):
        return "event"
    return "query" if issubclass(message, Query) else "command"


def summary(message: type[Message]) -> str:
    """Return the first line of a message's own docstring; empty without one."""
    own = message.__dict__.get("__doc__") or ""
    return own.strip().partition("\n")[0]
