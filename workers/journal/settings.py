"""Settings of the journal."""

from __future__ import annotations

from pydantic import Field

from workers.runtime.settings import Settings


class JournalSettings(Settings):
    """Settings of the journal."""

    keep_journal_days: float = Field(400, ge=31)
    """Events and reports are dropped by the month; dead letters stay."""
