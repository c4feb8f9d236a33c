"""Settings of payments."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from contracts.payment_discrepancies import ProviderMode, ProviderName
from workers.runtime.settings import Settings


class PaymentsSettings(Settings):
    """Settings of payments."""

    provider_database_url: SecretStr | None = None
    """The payment simulator's database; None: `database_url` with `_provider` behind the name."""
    payments_slow_seconds: float = Field(10, ge=0)
    payments_provider: ProviderName = "simulator"
    payments_provider_ms: int = Field(2000, ge=10)
    """The longest that a call to the provider may take."""
    payments_provider_calls: int = Field(32, ge=1)
    payments_refund_log: Path = Path(".local/refunds.jsonl")
    """One JSON line for each refund that succeeded; a mounted volume in deployment."""

    payments_stripe_key: SecretStr | None = None
    """Stripe's secret or restricted key; `sk_test_` and `rk_test_` are those of its test mode."""
    payments_stripe_url: str | None = None
    """Replaces the address of Stripe's API."""
    payments_portone_secret: SecretStr | None = None
    """The secret of PortOne's V2 API."""
    payments_portone_store_id: str = ""
    payments_portone_channel_key: str = ""
    payments_portone_order_name: str = "Yeyak"
    """What a customer reads on the bill of the card."""
    payments_portone_channel: Literal["test", "live"] = "test"
    """What kind of channel the channel key belongs to."""
    payments_portone_url: str | None = None
    """Replaces the address of PortOne's API."""

    @model_validator(mode="after")
    def _has_what_the_provider_needs(self) -> Self:
        needed = {
            "simulator": (),
            "stripe": ("payments_stripe_key",),
            "portone": ("payments_portone_secret", "payments_portone_store_id", "payments_portone_channel_key"),
        }
        missing = [name for name in needed[self.payments_provider] if not getattr(self, name)]
        if missing:
            raise ValueError(f"payments_provider is {self.payments_provider}: set {', '.join(missing)}")
        return self

    @property
    def provider_mode(self) -> ProviderMode:
        """Whether real money moves."""
        match self.payments_provider:
            case "stripe":
                key = self.payments_stripe_key.get_secret_value() if self.payments_stripe_key else ""
                return "live" if "_live_" in key else "test"
            case "portone":
                return self.payments_portone_channel
        return "simulated"

    @property
    def provider_database(self) -> str:
        if self.provider_database_url:
            return self.provider_database_url.get_secret_value()
        return self.database_url.get_secret_value() + "_provider"
