"""The settings of a worker process: those of the runtime, of the shared contexts and of each system."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import ClassVar

from workers.journal.settings import JournalSettings
from workers.payments.settings import PaymentsSettings
from workers.registry import SYSTEMS
from workers.runtime.settings import Settings


def settings_of(system: str) -> Iterator[type[Settings]]:
    """The class of settings in `workers/<system>/settings.py`; none where a system has no settings."""
    if find_spec(f"workers.{system}.settings"):
        module = import_module(f"workers.{system}.settings")
        yield from (
            each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__
        )


class WorkerSettings(
    PaymentsSettings,
    JournalSettings,
    *(kind for system in SYSTEMS for kind in settings_of(system)),  # type: ignore[misc]
):
    """Every setting that a context may read."""

    others: ClassVar[tuple[str, ...]] = ("gateway_", "jwt_", "console_", "oidc_")


@lru_cache
def worker_settings() -> WorkerSettings:
    """The settings of this process, read once; raises as `Settings.read` does."""
    return WorkerSettings.read()
