"""The time limits of the requests of phone pre-order: its workers and its routes wait by them."""

from __future__ import annotations

from pydantic import BaseModel, Field


class PreorderLimits(BaseModel):
    """Settings of the workers and of the gateway; `*_ms` are milliseconds."""

    preorder_payment_ms: int = Field(620, ge=10)
