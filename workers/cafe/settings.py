"""Settings of the café."""

from __future__ import annotations

from contracts.cafe.limits import CafeLimits
from workers.runtime.settings import Settings


class CafeSettings(CafeLimits, Settings):
    """Settings of the café."""
