"""Every setting of the system, from the environment (`YEYAK_...`), a settings file, or files of secrets."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from workers.runtime.delays import delays

PREFIX = "YEYAK_"
OUTSIDE = {"YEYAK_LOCAL", "YEYAK_SETTINGS_FILE", "YEYAK_SECRETS_DIR", "YEYAK_ACCOUNTS_DIR", "YEYAK_ENGINE"}
"""Read before the settings are, by whoever finds the files."""


def _listed(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [name for part in value.split(",") if (name := part.strip())]


Listed = Annotated[list[str], NoDecode, BeforeValidator(_listed)]


class Settings(BaseSettings):
    """Defaults fit a local run; `*_ms` are milliseconds, `*_seconds`, `*_hours` and `*_days` may be fractions."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    # servers
    amqp_url: SecretStr = SecretStr("amqp://guest:guest@127.0.0.1:5672/")
    database_url: SecretStr = SecretStr("postgresql://postgres@127.0.0.1:5432/yeyak")
    context_database_urls: dict[str, SecretStr] = {}
    """A context's own database, by its name, where it is not `database_url` (JSON)."""
    context_amqp_urls: dict[str, SecretStr] = {}
    """A context's own account on the broker, by its name, where it is not that of `amqp_url` (JSON)."""
    provider_database_url: SecretStr | None = None
    """The payment simulator's database; None: `database_url` with `_provider` behind the name."""
    rabbitmq_api: SecretStr | None = None
    """The management console with its user, for `yeyak status` and `yeyak topology`."""
    pool_size: int = Field(12, ge=2)
    amqp_accelerator: Literal["on", "off"] = "on"
    """`off` keeps to the plain AMQP libraries."""
    asked_queue_type: Literal["classic", "quorum"] = "classic"

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

    # the gateway
    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(8088, ge=0, le=65535)
    gateway_rate: float = Field(50, ge=0)
    """Requests per second and member, with bursts of four times as many; 0 = off."""
    gateway_in_flight: int = Field(400, ge=1)
    """Requests at once per context before 503."""
    gateway_body_limit: int = Field(65_536, ge=1)
    gateway_cors_origins: list[str] = []
    jwt_key: SecretStr | None = None
    """The local signing key (HS256), for runs without an issuer."""
    jwt_issuer: str = "yeyak.local"
    jwt_audience: str = "yeyak"
    jwt_jwks_url: str | None = None
    """Where an issuer publishes its keys; with it, the local key is not accepted."""

    # the console
    console_url: str | None = None
    """Where people reach it, e.g. `https://yeyak.example`; its cookies are for https only then."""
    console_key: SecretStr | None = None
    """Signs the console's forms, the same for all gateways; on a local run the local key does."""
    oidc_issuer: str | None = None
    """People sign in there (OpenID Connect); without it, on a local run, they choose who to be."""
    oidc_client_id: str = "yeyak"
    oidc_client_secret: SecretStr | None = None
    oidc_scope: str = "openid"
    oidc_resource: str | None = None
    """The API's name at the issuer, for one that makes JWT access tokens only when it is asked for them by name."""

    # the runtime
    prefetch: int = Field(48, ge=1)
    batch: int = Field(200, ge=1)
    """Events that a view applies at once, at most."""
    keep_answers_days: float = Field(14, ge=1)
    keep_journal_days: float = Field(400, ge=31)
    """Events and what was handled are dropped by the month; dead letters stay."""
    retry_seconds: tuple[float, ...] = (1, 10, 60, 300)
    relay_after_seconds: float = Field(2, gt=0)
    tick_seconds: float = Field(0.25, gt=0)
    """How often a context looks for what is due."""
    lease_seconds: float = Field(30, gt=0)
    """How long a due step has before another process may take it up; longer than the longest step."""
    check_queues_seconds: float = Field(30, gt=0)
    breaker_rest_seconds: float = Field(5, gt=0)
    backlog_limit: int = Field(600, ge=1)
    database_patience_seconds: float = Field(600, gt=0)
    drain_seconds: float = Field(15, gt=0)

    # payments
    payments_slow_seconds: float = Field(10, ge=0)
    payments_provider_ms: int = Field(2000, ge=10)
    """The longest that a call to the provider may take."""
    payments_provider_calls: int = Field(32, ge=1)
    payments_refund_log: Path = Path(".local/refunds.jsonl")
    """One JSON line for each refund that succeeded; a mounted volume in deployment."""

    # video rental
    video_rental_payment_ms: int = Field(3000, ge=10)
    video_rental_pickup_hours: float = Field(48, gt=0)

    # café
    cafe_price_ms: int = Field(610, ge=10)
    """How long an order waits for the menu to say the price."""

    # shop
    shop_bank_account: str = "Yeyak Bank 110-000-123456"
    """Where clients transfer to."""
    shop_transfer_hours: float = Field(72, gt=0)
    """The time to transfer; at three quarters of it the client is reminded."""
    shop_stock_ms: int = Field(3000, ge=10)
    shop_preparing_seconds: float = Field(1, ge=0)
    shop_receipt_days: float = Field(14, gt=0)
    """An order is closed this long after its delivery began, although nobody confirmed the receipt."""

    # bike sharing
    bike_sharing_take_ms: int = Field(1200, ge=10)
    bike_sharing_payment_ms: int = Field(3000, ge=10)
    bike_sharing_minimum_deposit: int = Field(2_000, ge=0)
    """Won that a member must have to ride."""
    bike_sharing_fee_per_minute: int = Field(100, ge=0)
    bike_sharing_fee_at_most: int = Field(20_000, ge=0)
    bike_sharing_ride_hours: float = Field(24, gt=0)
    """A ride that is open for so long ends by itself."""
    bike_sharing_locations: Listed = []
    """Where bikes may stand (JSON, or names with commas between them); empty: anywhere."""
    bike_sharing_ask_holder_seconds: float = Field(60, gt=0)
    """After which bikes asks whether the ride that holds a bike stands; then less and less often."""

    # ticketing
    ticketing_take_ms: int = Field(3000, ge=10)
    ticketing_hold_check_seconds: float = Field(10, gt=0)
    """How long a hold may go unconfirmed until its holder is asked; longer than a take may take."""

    # phone pre-order
    preorder_payment_ms: int = Field(620, ge=10)

    @field_validator("delay_ms")
    @classmethod
    def _are_delays(cls, text: str) -> str:
        delays(text)
        return text

    @property
    def longest_ride(self) -> timedelta:
        return timedelta(hours=self.bike_sharing_ride_hours)

    @property
    def pickup_time(self) -> timedelta:
        return timedelta(hours=self.video_rental_pickup_hours)

    @property
    def transfer_time(self) -> timedelta:
        return timedelta(hours=self.shop_transfer_hours)

    @property
    def receipt_time(self) -> timedelta:
        return timedelta(days=self.shop_receipt_days)

    @property
    def ticketing_hold_check(self) -> timedelta:
        return timedelta(seconds=self.ticketing_hold_check_seconds)

    def of(self, context: str) -> Settings:
        """As one of several contexts in a process is given them: with its own account on the broker."""
        own = self.context_amqp_urls.get(context)
        return self.model_copy(update={"amqp_url": own}) if own else self

    def database_of(self, context: str) -> str:
        """The database URL of a context."""
        return self.context_database_urls.get(context, self.database_url).get_secret_value()

    @property
    def provider_database(self) -> str:
        if self.provider_database_url:
            return self.provider_database_url.get_secret_value()
        return self.database_url.get_secret_value() + "_provider"


def unknown_names() -> list[str]:
    """Names in the environment that look like settings and are none."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | OUTSIDE
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def read_settings(**given: str) -> Settings:
    """The settings, with some of them given; raises `pydantic.ValidationError` with the setting's name."""
    wanted: dict[str, Any] = {
        "_env_file": os.environ.get("YEYAK_SETTINGS_FILE"),
        "_secrets_dir": os.environ.get("YEYAK_SECRETS_DIR"),
        **given,
    }
    return Settings(**wanted)


@lru_cache
def settings() -> Settings:
    """The settings of this process, read once; raises as `read_settings` does."""
    return read_settings()
