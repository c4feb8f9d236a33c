"""The `yeyak` command line.

The commands of the stack are in `ops.stack.commands`. Each module of `ops.commands` adds its own in `register(app)`.
"""

import importlib
import os
import pkgutil
import sys

import typer

from ops.stack import commands as stack
from ops.stack import compose_engine
from ops.stack.local import ACCOUNTS_DIR, SERVER_ADDRESSES, local

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)

STACK_COMMANDS = (
    stack.up,
    stack.down,
    stack.run,
    stack.start,
    stack.stop,
    stack.restart,
    stack.scale,
    stack.logs,
    stack.reset,
)

for command in STACK_COMMANDS:
    app.command()(command)


@app.callback()
def yeyak(context: typer.Context) -> None:
    """Run, observe and repair a Yeyak system."""
    if context.invoked_subcommand not in {command.__name__ for command in STACK_COMMANDS}:
        use_local_system()


def use_local_system() -> None:
    """Set the environment of the local system, unless the environment names other servers."""
    elsewhere = os.environ.get("YEYAK_AMQP_URL") or os.environ.get("YEYAK_DATABASE_URL")
    for name, value in local().read_env().items():
        if not (elsewhere and name in (*SERVER_ADDRESSES, ACCOUNTS_DIR)):
            os.environ.setdefault(name, value)


def add_commands() -> None:
    """Call `register(app)` of every module in `ops.commands`, in alphabetical order."""
    try:
        package = importlib.import_module("ops.commands")
    except ModuleNotFoundError as missing:
        if missing.name != "ops.commands":
            raise
        return
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name):
        register = getattr(importlib.import_module(f"ops.commands.{module.name}"), "register", None)
        if register:
            register(app)


def main() -> None:
    if compose_engine.is_chosen(local(), sys.argv[1:]):
        compose_engine.exec_compose(local(), sys.argv[1:])
    if sys.argv[1:2] and sys.argv[1] in {command.__name__ for command in STACK_COMMANDS}:
        app()  # without importing the system: the stack commands work even when that import fails
    add_commands()
    app()


if __name__ == "__main__":
    main()
