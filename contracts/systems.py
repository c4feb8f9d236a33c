"""The systems, found as packages of this one, and their modules in another package."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType

from pydantic import BaseModel

import contracts


def _position(system: str) -> int:
    position: int = import_module(f"contracts.{system}").POSITION
    return position


SYSTEMS = tuple(sorted((module.name for module in iter_modules(contracts.__path__) if module.ispkg), key=_position))
"""The names of the systems, in the order in which documents and pages show them."""


def modules_of(package: str) -> list[ModuleType]:
    """The modules `<package>.<system>` that exist, in the order of the systems."""
    names = [f"{package}.{system}" for system in SYSTEMS]
    return [import_module(name) for name in names if find_spec(name)]


def limits() -> tuple[type[BaseModel], ...]:
    """The settings in `limits.py` of each system: how long its commands wait for other contexts."""
    modules = [
        import_module(f"contracts.{system}.limits") for system in SYSTEMS if find_spec(f"contracts.{system}.limits")
    ]
    return tuple(
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__
    )
