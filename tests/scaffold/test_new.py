"""`yeyak new` in a scratch copy of the tree: what it writes passes `make check` and its own tests as written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.listing import ROOT

SHARED = (
    "tests/gateway_api/test_routes.py",
    "tests/gateway_api/test_openapi.py",
    "tests/architecture",
    "tests/contracts",
    "tests/console/test_words.py",
    "tests/deploy/test_compose.py",
)
"""Suites that look at all contexts: a new one needs no edit of theirs."""


class Tree:
    """A copy of what git knows of the tree, with the installed packages of this one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
        ).stdout
        copied = subprocess.Popen(["tar", "--null", "-T", "-", "-cf", "-"], cwd=ROOT, stdin=-1, stdout=-1)
        assert copied.stdin is not None
        copied.stdin.write(b"\0".join(name for name in listed.split(b"\0") if name and (ROOT / name.decode()).exists()))
        copied.stdin.close()
        subprocess.run(["tar", "-xf", "-", "-C", str(root)], stdin=copied.stdout, check=True)
        assert copied.wait() == 0
        (root / ".local").mkdir()
        (root / ".local" / "tools").symlink_to(ROOT / ".local" / "tools")
        self.git("init", "--quiet")
        self.git("add", "--all")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a module of the copy."""
        environment = os.environ | {"PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)

    def passes(self, *arguments: str) -> None:
        done = self.run(*arguments)
        assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]

    def changed(self) -> set[str]:
        """The files that existed and have changed since."""
        return set(self.git("diff", "--name-only").split())


GENERATED = (
    ".importlinter",
    "README",
    "compose.yaml",
    "deploy/",
    "docs/scale.md",
    "gateway_api/static/asyncapi.json",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A tree with a new business of two contexts and a view, and a new context in a business that was there."""
    tree = Tree(tmp_path_factory.mktemp("tree"))
    tree.passes("ops.cli", "new", "system", "lockers")
    tree.passes("ops.cli", "new", "context", "lockers.units", "--view", "my_lockers", "--paid", "--ko", "물품보관함")
    tree.passes("ops.cli", "new", "context", "lockers.batteries", "--view", "battery_list", "--ko", "배터리")
    return tree


def test_the_only_shared_file_that_changes_by_hand_is_the_registry(tree: Tree) -> None:
    by_hand = {path for path in tree.changed() if not path.startswith(GENERATED)}

    assert by_hand == {"workers/registry.py"}


def test_everything_is_in_order_as_it_is_written(tree: Tree) -> None:
    tree.passes("ops.checks", "lockers")
    tree.passes("ops.checks")


def test_its_own_tests_pass_as_they_are_written(tree: Tree) -> None:
    tree.passes("pytest", "-q", "-p", "no:cacheprovider", "tests/lockers")


def test_the_suites_over_all_contexts_pass_without_an_edit(tree: Tree) -> None:
    tree.passes("pytest", "-q", "-p", "no:cacheprovider", *SHARED)


def test_its_story_is_played(tree: Tree) -> None:
    tree.passes(
        "pytest", "-q", "-p", "no:cacheprovider", "tests/ops/commands/test_demo.py", "-k", "each_story and lockers"
    )


def test_a_context_is_added_to_a_business_that_was_there(tree: Tree) -> None:
    tree.passes("ops.cli", "new", "context", "cafe.tables", "--view", "my_tables", "--paid", "--ko", "자리")

    tree.passes("ops.checks")
    tree.passes("pytest", "-q", "-p", "no:cacheprovider", "tests/cafe/test_tables.py", "tests/cafe/test_my_tables.py")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("system", "Lockers"), "Lockers is no name"),
        (("system", "cafe"), "contracts/cafe"),
        (("system", "settings"), "settings is no name"),
        (("context", "cafe"), "names no context"),
        (("context", "lockers.class"), "class is no name"),
        (("context", "cafe.menu"), "cafe.menu is a context already"),
        (("context", "cafe.seats", "--view", "seats"), "the view needs another name"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_sentence(
    tree: Tree, arguments: tuple[str, ...], sentence: str
) -> None:
    before = tree.git("status", "--short")

    done = tree.run("ops.cli", "new", *arguments)

    assert done.returncode == 1
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert tree.git("status", "--short") == before
