"""The time limits of the requests of the shop: its workers and its routes wait by them."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ShopLimits(BaseModel):
    """Settings of the workers and of the gateway; `*_ms` are milliseconds."""

    shop_stock_ms: int = Field(3000, ge=10)
