"""What every command uses: the settings, and an error message that ends the command."""

from __future__ import annotations

import logging
from typing import NoReturn

import typer
from pydantic import ValidationError

from ops.accounts.files import ADMINISTRATOR, Folder
from ops.settings import SystemSettings, system_settings
from ops.terminal import echo
from workers.runtime.settings import PREFIX


def fail(message: str) -> NoReturn:
    """Print a message to stderr and exit with 1."""
    echo(f"yeyak: {message}", err=True)
    raise typer.Exit(1)


def configuration() -> SystemSettings:
    """Return the settings; invalid ones end the command with their names."""
    for library in ("aio_pika", "aiormq"):  # the commands print connection errors themselves
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    try:
        return system_settings()
    except ValidationError as error:
        fail("; ".join(wrong_settings(error)))


def administrator() -> SystemSettings:
    """The settings with the addresses of `administrator/` in the accounts' folder, where it exists."""
    folder = Folder.named()
    return SystemSettings.read(**folder.settings_of(ADMINISTRATOR)) if folder else system_settings()


def wrong_settings(error: ValidationError) -> list[str]:
    """Describe each invalid setting without its value, which may be a secret."""
    return [
        f"{PREFIX}{'.'.join(map(str, problem['loc'])).removeprefix(PREFIX.lower()).upper()}: {_lower(problem['msg'])}"
        for problem in error.errors(include_input=False, include_url=False, include_context=False)
    ]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
