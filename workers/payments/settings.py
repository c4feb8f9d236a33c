"""Settings of payments."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from workers.runtime.settings import Settings


class PaymentsSettings(Settings):
    """Settings of payments."""

    provider_database_url: SecretStr | None = None
    """The payment simulator's database; None: `database_url` with `_provider` behind the name."""
    payments_slow_seconds: float = Field(10, ge=0)
    payments_provider_ms: int = Field(2000, ge=10)
    """The longest that a call to the provider may take."""
    payments_provider_calls: int = Field(32, ge=1)
    payments_refund_log: Path = Path(".local/refunds.jsonl")
    """One JSON line for each refund that succeeded; a mounted volume in deployment."""

    @property
    def provider_database(self) -> str:
        if self.provider_database_url:
            return self.provider_database_url.get_secret_value()
        return self.database_url.get_secret_value() + "_provider"
