"""`yeyak new`: write the files of a new business."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ops.cli_support import fail
from ops.scaffold.business import NewBusiness
from ops.scaffold.insertion import NoPlaceError
from ops.scaffold.names import Names, WrongNameError
from ops.stack.local import REPOSITORY
from ops.terminal import echo

new = typer.Typer(no_args_is_help=True, help="Write the files of a new business.")


def register(app: typer.Typer) -> None:
    app.add_typer(new, name="new")


@new.command("system")
def new_system(name: Annotated[str, typer.Argument(help="e.g. lockers")]) -> None:
    """Write what a system needs before its first context; `yeyak new context` writes it as well."""
    written = _written(lambda: Names(name))
    _tell(written, f"yeyak new context {name}.units --view my_{name} --paid")


@new.command("context")
def new_context(
    name: Annotated[str, typer.Argument(help="system and context, e.g. lockers.units")],
    view: Annotated[str, typer.Option(help="a view of its events, e.g. my_lockers")] = "",
    paid: Annotated[bool, typer.Option(help="with bookings that are paid for, and end by a timer")] = False,
    ko: Annotated[str, typer.Option(help="what people call it in Korean")] = "",
) -> None:
    """Write a context that runs: messages, tables, handlers, routes, pages, audit, story, tests."""
    system, _, context = name.partition(".")
    if not context:
        fail(f"{name} names no context: write {name}.units")
    written = _written(lambda: Names(system, context, view, paid, ko))
    _finish()
    _tell(written, f"make check of={system}, then make test args=tests/{system}")


def _written(names: Callable[[], Names]) -> list[str]:
    """Write the files; ends with one sentence when a name or a file is not as it should be."""
    try:
        business = NewBusiness(REPOSITORY, names())
        if not (business.names.context and (REPOSITORY / "contracts" / business.names.system).exists()):
            business.write_system()
        if business.names.context:
            business.write_context()
    except (WrongNameError, NoPlaceError) as error:
        fail(str(error))
    written = business.save()
    for step in (["format"], ["check", "--fix"], ["format"]):
        _run("ruff", *step, "--quiet", *written)
    return written


def _finish() -> None:
    """Record the samples of the new messages, and generate what lists contexts; in new processes, which import them."""
    for module in (["tests.contracts.record"], ["ops.deployment", "write"]):
        done = subprocess.run(
            [sys.executable, "-m", *module], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        if done.returncode:
            fail(f"python -m {' '.join(module)} failed: {done.stderr.strip()[-2000:]}")


def _run(tool: str, *arguments: str) -> None:
    subprocess.run([str(Path(sys.executable).parent / tool), *arguments], cwd=REPOSITORY, check=False)


def _tell(written: list[str], then: str) -> None:
    for path in written:
        echo(path)
    echo(f"next: {then}")
