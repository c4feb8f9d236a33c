"""Settings of phone pre-order."""

from __future__ import annotations

from contracts.preorder.limits import PreorderLimits
from workers.runtime.settings import Settings


class PreorderSettings(PreorderLimits, Settings):
    """Settings of phone pre-order."""
