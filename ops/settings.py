"""Every setting of the system: what commands, checks and tests read."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from gateway_api.settings import GatewaySettings
from workers.settings import WorkerSettings


class SystemSettings(WorkerSettings, GatewaySettings):
    """The settings of the workers and of the gateway together."""

    others: ClassVar[tuple[str, ...]] = ()


@lru_cache
def system_settings() -> SystemSettings:
    """The settings of this process, read once; raises as `Settings.read` does."""
    return SystemSettings.read()
