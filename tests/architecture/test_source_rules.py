"""The repository follows every source rule, and each rule reports the violation that it is for."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.architecture import source_rules as rules
from tests.architecture.listing import ROOT, Listing, read
from tests.architecture.source_rules import LOG_EVENTS, RULES
from workers.registry import CONTEXTS

MADE_UP = ("bakery.ovens", "bakery.sales", "till")


@cache
def repository() -> Listing:
    return read(ROOT, CONTEXTS)


def made_up(root: Path, files: dict[str, str]) -> Listing:
    """Write a small tree that follows the rules, with `files` added or in place of its own ("gone": left out)."""
    usual = {
        f"{layer}/{context.replace('.', '/')}.py": ""
        for layer in ("contracts", "storage", "workers")
        for context in MADE_UP
    }
    usual |= {
        "contracts/base.py": "",
        "contracts/bakery/__init__.py": "",
        "contracts/bakery/sales.py": "class CancelOrder: ...",
        "contracts/till.py": "class CancelOrder: ...",
        "storage/bakery/__init__.py": "",
        "storage/database.py": "connection.commit()",
        "storage/till.py": "from storage import database",
        "workers/bakery/__init__.py": "",
        "workers/bakery/ovens.py": "from storage import database\nimport storage.bakery.ovens, contracts.till",
        "workers/registry.py": "import workers.till",
        "workers/runtime/messaging/broker.py": "import faststream, datetime\ndatetime.datetime.now(tz)",
        "workers/runtime/messaging/rpc.py": "async def call(self): await self._broker.request(b'')",
        "workers/runtime/observability/log_events.py": "TILL_EMPTY = 'till_empty'\nTILL_LOST = 'The till is lost'",
        "workers/runtime/worker.py": "",
        "workers/app.py": "import faststream\ndef main():\n    from workers.registry import CONTEXTS",
        "workers/settings.py": "import workers.bakery.settings",
        "workers/bakery/settings.py": "",
        "workers/till.py": f"""\
import workers.app
from {LOG_EVENTS} import TILL_EMPTY
log.info('sold', loaves=1)
log.info(TILL_EMPTY)
""",
        "gateway_api/bakery.py": "from contracts.bakery import ovens\nfrom workers.runtime.messaging import broker",
        "ops/cli.py": "from ops.terminal import echo\necho('hello')\nclass Loaf: ...",
        "ops/terminal.py": "import typer\ndef echo(text): typer.echo(text)",
        "bench/load.py": f"import bench.stage  # noqa: {'E501 ' * 30}",
        "bench/stage.py": "from bench import table",
        "bench/table.py": "class _Loaf: ...",
        "README.md": f"| {'a row of a table ' * 10} |\nhttps://bakery.example/{'long/' * 30}\n",
    }
    for path, text in (usual | files).items():
        if text != "gone":
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
    return read(root, MADE_UP)


@pytest.mark.parametrize("name", RULES)
def test_the_repository_follows_the_rule(name: str) -> None:
    assert sorted(RULES[name](repository())) == []


@pytest.mark.parametrize("name", RULES)
def test_a_small_tree_in_good_order_follows_the_rule(tmp_path: Path, name: str) -> None:
    assert sorted(RULES[name](made_up(tmp_path, {}))) == []


VIOLATIONS: list[tuple[rules.Rule, str, str]] = [
    (rules.arrows, "contracts/till.py", "from storage import till"),
    (rules.arrows, "contracts/till.py", "import workers.runtime.messaging.broker"),
    (rules.arrows, "storage/till.py", "from workers.runtime.messaging.broker import Broker"),
    (rules.arrows, "workers/till.py", "def later():\n    from gateway_api import bakery"),
    (rules.arrows, "gateway_api/bakery.py", "import storage.till"),
    (rules.arrows, "gateway_api/bakery.py", "from ops import cli"),
    (rules.arrows, "ops/cli.py", "from tests.support import system"),
    (rules.gateway, "gateway_api/bakery.py", "from workers import till"),
    (rules.gateway, "gateway_api/bakery.py", "from workers.runtime.processing.worker_runtime import WorkerRuntime"),
    (rules.gateway, "gateway_api/bakery.py", "import workers.registry"),
    (rules.without_database, "workers/runtime/messaging/broker.py", "from storage.database import Database"),
    (rules.without_database, "workers/runtime/settings.py", "from storage import database"),
    (rules.contexts, "workers/till.py", "from storage.bakery import ovens"),
    (rules.contexts, "workers/till.py", "from workers.bakery.ovens import worker"),
    (rules.contexts, "workers/bakery/sales.py", "from workers.bakery import ovens"),
    (rules.contexts, "workers/bakery/sales.py", "from . import ovens"),
    (rules.contexts, "workers/bakery/sales.py", "from storage.bakery.ovens import find"),
    (rules.contexts, "workers/bakery/sales.py", "import storage.journal_status"),
    (rules.contexts, "storage/bakery/sales.py", "from storage import till"),
    (rules.contexts, "storage/migrations/till/0001_start.py", "from storage.bakery import ovens"),
    (rules.shared, "workers/runtime/messaging/broker.py", "from workers import till"),
    (rules.shared, "workers/runtime/messaging/broker.py", "from workers.registry import CONTEXTS"),
    (rules.shared, "workers/runtime/messaging/broker.py", "from storage.bakery import ovens"),
    (rules.shared, "storage/database.py", "from storage import till"),
    (rules.one_name, "contracts/till.py", "gone"),
    (rules.one_name, "storage/bakery/ovens.py", "gone"),
    (rules.one_name, "workers/bakery/sales.py", "gone"),
    (rules.module_owner, "workers/laundry.py", ""),
    (rules.module_owner, "workers/bakery/shared.py", ""),
    (rules.module_owner, "workers/laundry/settings.py", ""),
    (rules.faststream, "workers/till.py", "from faststream.rabbit import RabbitBroker"),
    (rules.faststream, "contracts/till.py", "import faststream"),
    (rules.faststream, "gateway_api/bakery.py", "from faststream.rabbit import RabbitQueue"),
    (rules.requests, "workers/runtime/messaging/broker.py", "async def inspect(self): await broker.request(b'')"),
    (rules.requests, "gateway_api/bakery.py", "broker.request(b'')"),
    (rules.no_default_exchange, "workers/runtime/messaging/broker.py", "channel.default_exchange.publish(b'')"),
    (rules.clocks, "workers/till.py", "import time\ntime.sleep(1)"),
    (rules.clocks, "workers/till.py", "import time\ntime.time()"),
    (rules.clocks, "storage/till.py", "from datetime import datetime\ndatetime.now()"),
    (rules.clocks, "gateway_api/bakery.py", "import datetime\ndatetime.datetime.utcnow()"),
    (rules.clocks, "contracts/till.py", "from datetime import datetime\ndatetime.fromtimestamp(0)"),
    (rules.clocks, "workers/till.py", "from datetime import date\ndate.today()"),
    (rules.no_print, "workers/bakery/sales.py", "print('sold')"),
    (rules.terminal, "ops/cli.py", "print('sold')"),
    (rules.terminal, "ops/cli.py", "import typer\ntyper.echo('sold')"),
    (rules.no_commit, "workers/till.py", "async def pay(tx): await tx.connection.commit()"),
    (rules.no_commit, "storage/till.py", "async def undo(tx): await tx.rollback()"),
    (rules.short_files, "workers/till.py", "pass\n" * 401),
    (rules.circles, "storage/database.py", "from storage import till"),
    (rules.circles, "storage/database.py", "if TYPE_CHECKING:\n    from storage.till import Row"),
    (rules.circles, "storage/database.py", "def late():\n    import storage.till"),
    (rules.circles, "storage/till.py", "import storage.till"),
    (rules.circles, "bench/table.py", "from bench.load import Load"),
    (rules.runtime_layers, "workers/runtime/messaging/broker.py", "from workers.runtime.processing import tx"),
    (rules.runtime_layers, "workers/runtime/messaging/broker.py", "from workers.runtime.projections.view import View"),
    (rules.runtime_layers, "workers/runtime/messaging/broker.py", "def late():\n    import workers.runtime.worker"),
    (rules.runtime_layers, "workers/runtime/processing/tx.py", "import workers.runtime.projections.view"),
    (rules.runtime_layers, "workers/runtime/processing/tx.py", "from workers.runtime.worker import Worker"),
    (rules.runtime_layers, "workers/runtime/observability/logs.py", "import workers.runtime.projections.view"),
    (rules.runtime_layers, "workers/runtime/observability/logs.py", "from workers.runtime import worker"),
    (rules.log_events, "workers/till.py", "log.warning('the till is empty', till=1)"),
    (rules.log_events, "storage/till.py", "self._log.bind(till=1).info('Empty')"),
    (rules.log_events, "ops/cli.py", "logger.error(f'till_{number}')"),
    (rules.log_events, "gateway_api/bakery.py", "log.exception()"),
    (rules.log_events, "workers/till.py", "TILL_EMPTY = 'till_empty'\nlog.info(TILL_EMPTY)"),
    (rules.log_events, "workers/till.py", f"from {LOG_EVENTS} import TILL_LOST\nlog.info(TILL_LOST)"),
    (rules.class_names, "workers/till.py", "class Loaf: ..."),
    (rules.class_names, "workers/till.py", "class CancelOrder: ..."),
    (rules.long_lines, "README.md", f"{'word ' * 30}\n"),
    (rules.long_lines, "bench/load.py", f"# {'word ' * 30}\n"),
    (rules.long_lines, "docs/tills.md", f"  - {'word ' * 30}\n"),
]


@pytest.mark.parametrize(
    ("rule", "path", "text"), VIOLATIONS, ids=[f"{rule.__name__} {i}" for i, (rule, _, _) in enumerate(VIOLATIONS)]
)
def test_the_rule_reports_the_violation(tmp_path: Path, rule: rules.Rule, path: str, text: str) -> None:
    assert len(list(rule(made_up(tmp_path, {path: text})))) == 1


def test_every_rule_has_a_violation_that_it_reports() -> None:
    assert {rule for rule, _, _ in VIOLATIONS} == set(RULES.values())
