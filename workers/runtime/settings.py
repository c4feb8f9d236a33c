"""Settings of every process, from the environment (`YEYAK_...`), a settings file, or files of secrets.

The settings of each system lie beside its workers, those of the gateway in `gateway_api.settings`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self

from dotenv import dotenv_values
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from workers.runtime.delays import delays

PREFIX = "YEYAK_"
OUTSIDE = frozenset(
    {"YEYAK_LOCAL", "YEYAK_SETTINGS_FILE", "YEYAK_SECRETS_DIR", "YEYAK_ACCOUNTS_DIR", "YEYAK_ENGINE", "YEYAK_PROCESSES"}
)
"""Read before the settings are, by whoever finds the files."""


class Settings(BaseSettings):
    """Defaults fit a local run; `*_ms` are milliseconds, `*_seconds`, `*_hours` and `*_days` may be fractions."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    others: ClassVar[tuple[str, ...]] = ()
    """How the names of settings begin that other processes have and this one does not."""

    # servers
    amqp_url: SecretStr = SecretStr("amqp://guest:guest@127.0.0.1:5672/")
    database_url: SecretStr = SecretStr("postgresql://postgres@127.0.0.1:5432/yeyak")
    context_database_urls: dict[str, SecretStr] = {}
    """A context's own database, by its name, where it is not `database_url` (JSON)."""
    context_amqp_urls: dict[str, SecretStr] = {}
    """A context's own account on the broker, by its name, where it is not that of `amqp_url` (JSON)."""
    rabbitmq_api: SecretStr | None = None
    """The management console with its user, for `yeyak status` and `yeyak topology`."""
    pool_size: int = Field(12, ge=2)
    amqp_accelerator: Literal["on", "off"] = "on"
    """`off` keeps to the plain AMQP libraries."""
    request_queue_type: Literal["classic", "quorum"] = "classic"

    # this process
    process: str = ""
    health_host: str = "127.0.0.1"
    health_port: int = Field(0, ge=0, le=65535)
    """Where a process serves /live, /ready and /metrics; 0: workers nowhere, the gateway at its own port."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    failpoints: str = ""
    """For tests: `name=action,...`; see `workers.runtime.processing.failpoints`."""
    delay_ms: str = ""
    """For drills: `cafe.menu=400-620` slows a context down."""

    # the runtime
    prefetch: int = Field(48, ge=1)
    batch: int = Field(200, ge=1)
    """Events that a view applies at once, at most."""
    keep_answers_days: float = Field(14, ge=1)
    retry_seconds: tuple[float, ...] = (1, 10, 60, 300)
    relay_after_seconds: float = Field(2, gt=0)
    scheduler_seconds: float = Field(0.25, gt=0)
    """How often a context looks for what is due."""
    lease_seconds: float = Field(30, gt=0)
    """How long a due step has before another process may take it up; longer than the longest step."""
    check_queues_seconds: float = Field(30, gt=0)
    breaker_open_seconds: float = Field(5, gt=0)
    backlog_limit: int = Field(600, ge=1)
    database_patience_seconds: float = Field(600, gt=0)
    drain_seconds: float = Field(15, gt=0)

    @field_validator("delay_ms")
    @classmethod
    def _are_delays(cls, text: str) -> str:
        delays(text)
        return text

    def of(self, context: str) -> Self:
        """The settings of one of several contexts in a process: with its own account on the broker."""
        own = self.context_amqp_urls.get(context)
        return self.model_copy(update={"amqp_url": own}) if own else self

    def database_of(self, context: str) -> str:
        """The database URL of a context."""
        return self.context_database_urls.get(context, self.database_url).get_secret_value()

    @classmethod
    def read(cls, **given: str) -> Self:
        """The settings of this process, with some of them given.

        Raises ValueError (pydantic's ValidationError among them) with the name of the setting.
        """
        file = os.environ.get("YEYAK_SETTINGS_FILE")
        if file and (unknown := cls.unknown(dotenv_values(file))):
            raise ValueError(f"{file}: no setting has the name {', '.join(unknown)}")
        wanted: dict[str, Any] = {"_env_file": file, "_secrets_dir": os.environ.get("YEYAK_SECRETS_DIR"), **given}
        return cls(**wanted)

    @classmethod
    def unknown(cls, names: Iterable[str]) -> list[str]:
        """Those names that look like settings and are none."""
        known = {PREFIX + name.upper() for name in cls.model_fields} | OUTSIDE
        others = tuple(PREFIX + beginning.upper() for beginning in cls.others)
        wanted = (name.upper() for name in names)
        return sorted(
            name for name in wanted if name.startswith(PREFIX) and name not in known and not name.startswith(others)
        )
