"""The text of the setting `delay_ms` is parsed or refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from ops.settings import SystemSettings
from workers.runtime.delays import Delay, delays


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("cafe.menu=400-620", {"cafe.menu": Delay(400, 620)}),
        ("payments=50", {"payments": Delay(50, 50)}),
        ("payments=0.5, cafe.menu=1-2.5,", {"payments": Delay(0.5, 0.5), "cafe.menu": Delay(1, 2.5)}),
    ],
)
def test_delays_are_by_context(text: str, expected: dict[str, Delay]) -> None:
    assert delays(text) == expected


@pytest.mark.parametrize("text", ["payments", "payments=", "payments=soon", "payments=-5", "=5", "payments=1-2-3"])
def test_any_other_text_fails_when_a_process_starts(text: str) -> None:
    with pytest.raises(ValidationError, match="no delay"):
        SystemSettings(delay_ms=text)
