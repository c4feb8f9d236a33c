"""The settings of a worker process: those of the runtime and of each system."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from workers.bike_sharing.settings import BikeSharingSettings
from workers.cafe.settings import CafeSettings
from workers.journal.settings import JournalSettings
from workers.payments.settings import PaymentsSettings
from workers.preorder.settings import PreorderSettings
from workers.shop.settings import ShopSettings
from workers.ticketing.settings import TicketingSettings
from workers.video_rental.settings import VideoRentalSettings


class WorkerSettings(
    PaymentsSettings,
    JournalSettings,
    VideoRentalSettings,
    TicketingSettings,
    BikeSharingSettings,
    ShopSettings,
    CafeSettings,
    PreorderSettings,
):
    """Every setting that a context may read."""

    others: ClassVar[tuple[str, ...]] = ("gateway_", "jwt_", "console_", "oidc_")


@lru_cache
def worker_settings() -> WorkerSettings:
    """The settings of this process, read once; raises as `Settings.read` does."""
    return WorkerSettings.read()
