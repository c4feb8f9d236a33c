"""What the document says is tried on a running system: every operation, with what it allows and what it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.base import Caller
from tests.openapi.conftest import BIN, LiveSystem, run
from tests.support.system import STAFF, customer

EXAMPLES = 10
"""For each operation, besides those of the document and of the boundaries of its values."""


@pytest.mark.parametrize("caller", [customer(), STAFF], ids=["customer", "staff"])
async def test_the_system_answers_as_the_document_says(live: LiveSystem, folder: Path, caller: Caller) -> None:
    command = (
        *("run", f"{live.url}/openapi.json", "--header", f"Authorization: Bearer {live.token(caller)}"),
        *("--checks=all", "--phases=examples,coverage,fuzzing", f"--max-examples={EXAMPLES}", "--continue-on-failure"),
        *("--workers=2", "--seed=1", "--no-shrink", "--generation-database=none", "--request-timeout=30"),
        *("--no-color", "--report=json", f"--report-json-path={caller.role}.json"),
    )

    await run(folder, BIN / "schemathesis", *command, within=500)

    assert json.loads((folder / f"{caller.role}.json").read_text())
