"""`lint-imports` passes for the repository, fails for a tree with wrong imports, and its lists have every context."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.listing import ROOT
from workers.registry import CONTEXTS

CONFIGURATION = ROOT / ".importlinter"
MODULES = (
    "contracts.base",
    "storage.database",
    "workers.registry",
    "workers.runtime.messaging.broker",
    "workers.app",
    "gateway_api.gateway",
    "ops.cli",
    "bench.floor",
    *(f"{layer}.{context}" for layer in ("storage", "workers") for context in CONTEXTS),
)
EXPECTED = {"workers/app.py": "import workers.registry"}


def linted(root: Path) -> tuple[int, str]:
    """Run `lint-imports` with the packages in `root`; return its exit code and output."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    """Write empty modules with the names of the repository's packages and contexts."""
    shutil.copy(CONFIGURATION, tmp_path)
    for module in MODULES:
        path = tmp_path / f"{module.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(EXPECTED.get(path.relative_to(tmp_path).as_posix(), ""))
        for parent in path.relative_to(tmp_path).parents[:-1]:
            (tmp_path / parent / "__init__.py").touch()
    return tmp_path


def test_the_repository_passes() -> None:
    code, output = linted(ROOT)

    assert code == 0, output


def test_a_small_tree_in_good_order_passes(small_tree: Path) -> None:
    code, output = linted(small_tree)

    assert code == 0, output


def test_each_kind_of_wrong_import_is_reported(small_tree: Path) -> None:
    wrong = {
        "contracts/base.py": "import storage.database",
        "storage/database.py": "import workers.runtime.messaging.broker",
        "workers/runtime/messaging/broker.py": "import storage.database, workers.payments",
        "gateway_api/gateway.py": "import workers.runtime.messaging.broker, faststream",
        "workers/payments.py": "import workers.journal, bench.floor",
        "storage/payments.py": "import storage.journal",
    }
    for path, text in wrong.items():
        (small_tree / path).write_text(text)

    code, output = linted(small_tree)

    assert code == 1, output
    assert "Contracts: 0 kept, 8 broken." in output


def test_every_context_is_in_the_lists() -> None:
    text = CONFIGURATION.read_text()

    listed = {
        layer: set(re.findall(rf"^    {layer}\.([a-z_.]+)$", text, re.MULTILINE)) for layer in ("workers", "storage")
    }

    assert set(CONTEXTS) <= listed["workers"]
    assert set(CONTEXTS) <= listed["storage"]
