"""`make check [of=SYSTEM]`: run every tool over the tree, show what each one reports, and sum up."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ops.stack.local import REPOSITORY
from ops.terminal import echo
from workers.registry import SYSTEMS

LAYERS = (
    "contracts",
    "storage",
    "workers",
    "gateway_api",
    "gateway_api/console/businesses",
    "ops/audit",
    "ops/stories",
)
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Check:
    """One tool: its title, and its command."""

    title: str
    command: list[str]


def files_of(system: str) -> list[str]:
    """The files and folders of a system that exist, in every layer and in the tests."""
    folders = (*LAYERS, "storage/migrations", "tests")
    paths = [f"{folder}/{system}{end}" for folder in folders for end in ("", ".py")]
    return [path for path in paths if (REPOSITORY / path).exists()]


def checks(system: str) -> Iterator[Check]:
    """Every tool, over one system or the whole tree; import rules and deployments are always looked at as a whole."""
    tree = files_of(system) if system else ["."]
    typed = [path for path in tree if not path.startswith(("tests", "storage/migrations"))] if system else []
    names = [system] if system else []
    yield Check("style", [str(BIN / "ruff"), "check", *tree])
    yield Check("format", [str(BIN / "ruff"), "format", "--check", *tree])
    yield Check("types", [str(BIN / "mypy"), *typed])
    yield Check("imports", [str(BIN / "lint-imports")])
    yield Check("Dockerfile", [str(BIN / "hadolint"), "Dockerfile"])
    yield Check("deployments", [sys.executable, "-m", "ops.deployment", "check"])
    yield Check("completeness", [sys.executable, "-m", "tests.architecture.completeness", *names])


def run(check: Check) -> bool:
    """Run one tool; its output is shown if it fails, and a line with its result always."""
    started = time.perf_counter()
    done = subprocess.run(check.command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    passed = done.returncode == 0
    if not passed:
        echo(f"\n--- {' '.join(Path(part).name for part in check.command[:3])}")
        echo((done.stdout + done.stderr).rstrip())
    echo(f"{check.title:<14} {'ok' if passed else 'FAILED':<7} {time.perf_counter() - started:5.1f} s")
    return passed


def main(arguments: list[str]) -> int:
    """Run the checks one after another, whether they fail or not; the exit code is 1 if one has failed."""
    system = arguments[0] if arguments else ""
    if system and system not in SYSTEMS:
        echo(f"{system} is no system of workers/registry.py: they are {', '.join(SYSTEMS)}")
        return 2
    wanted = list(checks(system))
    failed = [check.title for check in wanted if not run(check)]
    echo(f"{len(failed)} of {len(wanted)} checks failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
