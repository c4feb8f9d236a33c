"""What the document says is tried on a running system: every operation, with what it allows and what it does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.base import Caller
from gateway_api.app import all_routes
from ops.stack.local import REPOSITORY
from tests.openapi.conftest import BIN, LiveSystem, run
from tests.support.system import STAFF, customer

EXAMPLES = 10
"""For each operation, besides those of the document and of the boundaries of its values."""


@pytest.mark.parametrize("caller", [customer(), STAFF], ids=["customer", "staff"])
async def test_the_system_answers_as_the_document_says(live: LiveSystem, folder: Path, caller: Caller) -> None:
    command = (
        *("run", f"{live.url}/openapi.json", "--header", f"Authorization: Bearer {live.token(caller)}"),
        *("--checks=all", "--exclude-checks=positive_data_acceptance,not_a_server_error"),
        *("--phases=examples,coverage,fuzzing", f"--max-examples={EXAMPLES}", "--continue-on-failure"),
        *("--workers=2", "--seed=1", "--no-shrink", "--generation-database=none", "--request-timeout=30"),
        *("--no-color", "--warnings=off"),
    )
    hooks = {"SCHEMATHESIS_HOOKS": "tests.openapi.schemathesis_checks", "PYTHONPATH": str(REPOSITORY)}

    printed = await run(folder, BIN / "schemathesis", *command, within=800, **hooks)

    assert re.findall(r"Tested: (\d+)", printed) == [str(len(all_routes()))], printed
