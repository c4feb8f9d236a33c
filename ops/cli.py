"""The `yeyak` command line.

The commands of the stack are functions of `ops.stack.commands`. Each module of `ops.commands` is a command of the
module's name, which it adds in `register(app)`. A command is imported when it is named, and no other is.
"""

import ast
import importlib
import os
import pkgutil
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ops import commands
from ops.stack import compose_engine
from ops.stack.local import ACCOUNTS_DIR, REPOSITORY, SERVER_ADDRESSES, local

STACK_COMMANDS = ("up", "down", "run", "start", "stop", "restart", "scale", "logs", "reset")
START_SERVERS = (*STACK_COMMANDS, "backup", "dev", "restore")
"""These are not told where the system's servers are: with their addresses in the environment they would start none."""
_STACK = REPOSITORY / "ops/stack/commands.py"


class LazyCommands(TyperGroup):
    """Knows the names of all commands, and imports the one that is run."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        modules = (module.name.replace("_", "-") for module in pkgutil.iter_modules(commands.__path__))
        self.commands = {name: TyperCommand(name) for name in (*STACK_COMMANDS, *sorted(modules))}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, _load(str(name)), rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        for name, command in self.commands.items():
            command.help = _summary(name)
        super().format_help(ctx, formatter)


def _load(name: str) -> Any:
    single = typer.Typer()
    if name in STACK_COMMANDS:
        single.command()(getattr(importlib.import_module("ops.stack.commands"), name))
    else:
        importlib.import_module(_module(name)).register(single)
    return typer.main.get_group(single).commands[name]


def _module(name: str) -> str:
    return f"{commands.__name__}.{name.replace('-', '_')}"


def _summary(name: str) -> str:
    """What a command does: its docstring's first line, for a module what follows the colon there."""
    if name in STACK_COMMANDS:
        functions = ast.parse(_STACK.read_text()).body
        return next(_first_line(one) for one in functions if isinstance(one, ast.FunctionDef) and one.name == name)
    file = Path(commands.__path__[0]) / f"{name.replace('-', '_')}.py"
    text = _first_line(ast.parse(file.read_text())).partition("`: ")[2]
    return text[:1].upper() + text[1:]


def _first_line(node: ast.Module | ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0]


app = typer.Typer(cls=LazyCommands, no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)


@app.callback()
def yeyak(context: typer.Context) -> None:
    """Run, observe and repair a Yeyak system."""
    if context.invoked_subcommand not in START_SERVERS:
        use_local_system()


def use_local_system() -> None:
    """Set the environment of the local system, unless the environment names other servers."""
    elsewhere = os.environ.get("YEYAK_AMQP_URL") or os.environ.get("YEYAK_DATABASE_URL")
    for name, value in local().read_env().items():
        if not (elsewhere and name in (*SERVER_ADDRESSES, ACCOUNTS_DIR)):
            os.environ.setdefault(name, value)


def main() -> None:
    try:
        if compose_engine.is_chosen(local(), sys.argv[1:]):
            compose_engine.exec_compose(local(), sys.argv[1:])
        app()
    except PermissionError as denied:
        sys.exit(
            f"yeyak: {denied.filename or local().root} belongs to another user: "
            "run this as that user, or set YEYAK_LOCAL to a folder of your own"
        )


if __name__ == "__main__":
    main()
