"""Settings of phone pre-order."""

from __future__ import annotations

from pydantic import Field

from workers.runtime.settings import Settings


class PreorderSettings(Settings):
    """Settings of phone pre-order."""

    preorder_payment_ms: int = Field(620, ge=10)
