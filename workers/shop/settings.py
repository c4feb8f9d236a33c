"""Settings of the shop."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from contracts.shop.limits import ShopLimits
from workers.runtime.settings import Settings


class ShopSettings(ShopLimits, Settings):
    """Settings of the shop."""

    shop_bank_account: str = "Yeyak Bank 110-000-123456"
    """Where clients transfer to."""
    shop_transfer_hours: float = Field(72, gt=0)
    """The time to transfer; at three quarters of it the client is reminded."""
    shop_preparing_seconds: float = Field(1, ge=0)
    shop_receipt_days: float = Field(14, gt=0)
    """An order is closed this long after its delivery began, although nobody confirmed the receipt."""

    @property
    def transfer_time(self) -> timedelta:
        return timedelta(hours=self.shop_transfer_hours)

    @property
    def receipt_time(self) -> timedelta:
        return timedelta(days=self.shop_receipt_days)
