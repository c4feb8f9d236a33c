"""The house as it stands obeys its rules, and each rule bites."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.architecture import source_rules as rules
from tests.architecture.listing import ROOT, Listing, read
from tests.architecture.source_rules import RULES
from workers.registry import CONTEXTS

MADE_UP = ("bakery.ovens", "bakery.sales", "till")


@cache
def house() -> Listing:
    return read(ROOT, CONTEXTS)


def made_up(root: Path, files: dict[str, str]) -> Listing:
    """A small house in good order, with some files instead of, or beside, its own."""
    usual = {
        f"{layer}/{context.replace('.', '/')}.py": ""
        for layer in ("contracts", "storage", "workers")
        for context in MADE_UP
    }
    usual |= {
        "contracts/base.py": "",
        "contracts/bakery/__init__.py": "",
        "storage/bakery/__init__.py": "",
        "storage/database.py": "connection.commit()",
        "workers/bakery/__init__.py": "",
        "workers/bakery/ovens.py": "from storage import database\nimport storage.bakery.ovens, contracts.till",
        "workers/registry.py": "import workers.till",
        "workers/runtime/messaging/bus.py": "import faststream\nfrom datetime import UTC, datetime\ndatetime.now(UTC)",
        "workers/app.py": "from workers.registry import CONTEXTS",
        "gateway_api/bakery.py": "from contracts.bakery import ovens\nfrom workers.runtime.messaging import bus",
        "ops/cli.py": "print('hello')",
    }
    for path, text in (usual | files).items():
        if text != "gone":
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
    return read(root, MADE_UP)


@pytest.mark.parametrize("name", RULES)
def test_the_house_obeys(name: str) -> None:
    assert sorted(RULES[name](house())) == []


@pytest.mark.parametrize("name", RULES)
def test_a_small_house_in_good_order_obeys(tmp_path: Path, name: str) -> None:
    assert sorted(RULES[name](made_up(tmp_path, {}))) == []


BITES: list[tuple[rules.Rule, str, str]] = [
    (rules.arrows, "contracts/till.py", "from storage import till"),
    (rules.arrows, "contracts/till.py", "import workers.runtime.messaging.bus"),
    (rules.arrows, "storage/till.py", "from workers.runtime.messaging.bus import Bus"),
    (rules.arrows, "workers/till.py", "def later():\n    from gateway_api import bakery"),
    (rules.arrows, "gateway_api/bakery.py", "import storage.till"),
    (rules.arrows, "gateway_api/bakery.py", "from ops import cli"),
    (rules.arrows, "ops/cli.py", "from tests.support import system"),
    (rules.gateway, "gateway_api/bakery.py", "from workers import till"),
    (rules.gateway, "gateway_api/bakery.py", "from workers.runtime.processing.worker_runtime import WorkerRuntime"),
    (rules.gateway, "gateway_api/bakery.py", "import workers.registry"),
    (rules.without_database, "workers/runtime/messaging/bus.py", "from storage.database import Database"),
    (rules.without_database, "workers/runtime/settings.py", "from storage import database"),
    (rules.contexts, "workers/till.py", "from storage.bakery import ovens"),
    (rules.contexts, "workers/till.py", "from workers.bakery.ovens import worker"),
    (rules.contexts, "workers/bakery/sales.py", "from workers.bakery import ovens"),
    (rules.contexts, "workers/bakery/sales.py", "from . import ovens"),
    (rules.contexts, "workers/bakery/sales.py", "from storage.bakery.ovens import find"),
    (rules.contexts, "workers/bakery/sales.py", "import storage.provider"),
    (rules.contexts, "storage/bakery/sales.py", "from storage import till"),
    (rules.contexts, "storage/migrations/till/0001_start.py", "from storage.bakery import ovens"),
    (rules.shared, "workers/runtime/messaging/bus.py", "from workers import till"),
    (rules.shared, "workers/runtime/messaging/bus.py", "from workers.registry import CONTEXTS"),
    (rules.shared, "workers/runtime/messaging/bus.py", "from storage.bakery import ovens"),
    (rules.shared, "storage/database.py", "from storage import till"),
    (rules.one_name, "contracts/till.py", "gone"),
    (rules.one_name, "storage/bakery/ovens.py", "gone"),
    (rules.one_name, "workers/bakery/sales.py", "gone"),
    (rules.nothing_astray, "workers/laundry.py", ""),
    (rules.nothing_astray, "workers/bakery/shared.py", ""),
    (rules.faststream, "workers/till.py", "from faststream.rabbit import RabbitBroker"),
    (rules.faststream, "contracts/till.py", "import faststream"),
    (rules.no_request, "workers/runtime/messaging/bus.py", "async def ask(self): await self._broker.request(b'')"),
    (rules.no_request, "gateway_api/bakery.py", "broker.request(b'')"),
    (rules.no_default_exchange, "workers/runtime/messaging/bus.py", "channel.default_exchange.publish(b'')"),
    (rules.clocks, "workers/till.py", "import time\ntime.sleep(1)"),
    (rules.clocks, "workers/till.py", "import time\ntime.time()"),
    (rules.clocks, "storage/till.py", "from datetime import datetime\ndatetime.now()"),
    (rules.clocks, "gateway_api/bakery.py", "import datetime\ndatetime.datetime.utcnow()"),
    (rules.clocks, "contracts/till.py", "from datetime import datetime\ndatetime.fromtimestamp(0)"),
    (rules.clocks, "workers/till.py", "from datetime import date\ndate.today()"),
    (rules.no_print, "workers/bakery/sales.py", "print('sold')"),
    (rules.no_commit, "workers/till.py", "async def pay(tx): await tx.connection.commit()"),
    (rules.no_commit, "storage/till.py", "async def undo(tx): await tx.rollback()"),
    (rules.short_files, "workers/till.py", "pass\n" * 401),
]


@pytest.mark.parametrize(
    ("rule", "path", "text"), BITES, ids=[f"{rule.__name__} {i}" for i, (rule, _, _) in enumerate(BITES)]
)
def test_a_rule_bites(tmp_path: Path, rule: rules.Rule, path: str, text: str) -> None:
    assert len(list(rule(made_up(tmp_path, {path: text})))) == 1


def test_every_rule_is_shown_to_bite() -> None:
    assert {rule for rule, _, _ in BITES} == set(RULES.values())
