"""The settings and drills that the README documents exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ops.settings import SystemSettings
from workers.registry import CONTEXTS
from workers.runtime.settings import OUTSIDE, PREFIX

ROOT = Path(__file__).parents[2]
OPERATING = {"README.md": "Operating", "README.ko.md": "운영"}


def section(readme: str) -> str:
    """Return the operating section of a README."""
    text = (ROOT / readme).read_text()
    return re.split(r"^## ", text.partition(f"\n## {OPERATING[readme]}\n")[2], flags=re.MULTILINE)[0]


@pytest.mark.parametrize("readme", OPERATING)
def test_drills_are_documented_with_examples_that_slow_all_contexts(readme: str) -> None:
    drills = re.findall(r'YEYAK_DELAY_MS="([^"]+)"', section(readme))

    assert len(drills) >= 2
    for drill in ",".join(drills).split(","):
        context, _, span = drill.partition("=")
        assert context in CONTEXTS
        assert re.fullmatch(r"[0-9]+(-[0-9]+)?", span)
    assert any("-" in drill for drill in drills)


@pytest.mark.parametrize("readme", OPERATING)
def test_each_documented_setting_exists_with_its_documented_default(readme: str) -> None:
    named = re.findall(r"`(YEYAK_[A-Z_]+)`(?: ?\(([0-9.]+)\))?", section(readme))

    fields = SystemSettings.model_fields
    assert {name for name, _ in named} <= {PREFIX + field.upper() for field in fields} | OUTSIDE
    told = {name.removeprefix(PREFIX).lower(): float(value) for name, value in named if value}
    assert told == {"cafe_price_ms": 610, "breaker_open_seconds": 5}
    assert all(float(fields[field].default) == value for field, value in told.items())
