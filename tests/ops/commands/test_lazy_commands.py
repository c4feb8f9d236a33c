"""A command imports what it needs: not the other commands, and none of the libraries that only they use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ops.cli import STACK_COMMANDS, LazyCommands

LIBRARIES = {"pydantic", "sqlalchemy", "asyncpg", "faststream", "aio_pika", "httpx", "jwt", "alembic", "uvicorn"}
ALLOWED = {
    "secrets": set(),
    "dev": {"pydantic"},
    "backup": set(),
    "restore": set(),
    "provider-ledger": {"pydantic", "asyncpg"},
    "accounts": {"pydantic"},
    "token": {"pydantic", "httpx", "jwt"},
    "demo": {"pydantic", "httpx", "jwt"},
    "drill": {"pydantic", "httpx", "jwt", "aio_pika"},
    "seed": LIBRARIES - {"alembic", "sqlalchemy", "asyncpg"},
    "story": LIBRARIES - {"alembic", "httpx", "jwt"},
    "dead-letters": LIBRARIES - {"alembic", "httpx", "jwt"},
    "migrate": {"pydantic", "asyncpg", "sqlalchemy", "alembic"},
}
"""The libraries of a command; one that is not named here may import everything."""


def imported_by(*words: str) -> set[str]:
    program = (
        "import json, sys\nfrom ops.cli import app\n"
        f"try: app({list(words)!r}, standalone_mode=False)\nfinally: print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def command_names() -> list[str]:
    return list(LazyCommands().commands)


@pytest.mark.parametrize("name", command_names())
def test_a_command_imports_no_other_command_and_no_library_of_another(name: str) -> None:
    module = f"ops.commands.{name.replace('-', '_')}"

    imported = imported_by(name, "--help")

    commands = {one for one in imported if one.startswith("ops.commands.")}
    helpers = {"ops.commands.story"} if name == "dead-letters" else set()
    assert commands - helpers == (set() if name in STACK_COMMANDS else {module})
    assert imported & LIBRARIES <= (set() if name in STACK_COMMANDS else ALLOWED.get(name, LIBRARIES))


def test_the_list_of_commands_imports_none_of_them_and_describes_each() -> None:
    done = subprocess.run([sys.executable, "-m", "ops.cli", "--help"], capture_output=True, text=True, check=True)

    lines = {line.split()[1]: line.split()[2:-1] for line in done.stdout.splitlines() if len(line.split()) > 2}

    assert {one for one in imported_by("--help") if one.startswith("ops.commands.")} == set()
    assert imported_by("--help") & LIBRARIES == set()
    assert all(lines.get(name) for name in command_names())


def test_a_name_that_is_none_gets_a_suggestion() -> None:
    done = subprocess.run([sys.executable, "-m", "ops.cli", "statsu"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "status" in done.stderr
