"""The CI workflow runs the same targets as a developer, and is valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.deployment import schemas
from ops.deployment.__main__ import WORKFLOWS
from ops.stack.local import REPOSITORY

FILES = sorted(WORKFLOWS.glob("*.yml"))


def steps(file: Path) -> Iterator[dict[str, Any]]:
    for job in yaml.safe_load(file.read_text())["jobs"].values():
        yield from job["steps"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_workflow_is_valid(file: Path) -> None:
    assert list(schemas.of_file(file, "github-workflows.json")) == []


def test_an_invalid_workflow_is_refused(tmp_path: Path) -> None:
    spoilt = tmp_path / "ci.yml"
    spoilt.write_text(FILES[0].read_text().replace("runs-on:", "run-on:"))

    assert list(schemas.of_file(spoilt, "github-workflows.json"))


def test_the_workflow_runs_every_target_that_checks_something() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    runs = [step.get("run", "") for file in FILES for step in steps(file)]
    played = {found for run in runs for found in re.findall(r"^make ([a-z0-9-]+)", run, re.MULTILINE)}

    assert played <= targets
    assert played >= {"check"} | {target for target in targets if target.startswith("test")}


def test_each_action_is_pinned_to_a_commit_and_each_script_exists() -> None:
    for file in FILES:
        for step in steps(file):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}|", step.get("uses", ""))
            for script in re.findall(r"\bops/\w+\.sh", step.get("run", "")):
                assert (REPOSITORY / script).stat().st_mode & 0o100
