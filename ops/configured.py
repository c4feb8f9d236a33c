"""What commands begin and end with: the settings, and one sentence when something is wrong."""

from __future__ import annotations

import logging
from typing import NoReturn

import typer
from pydantic import ValidationError

from workers.runtime.settings import PREFIX, Settings, settings


def fail(sentence: str) -> NoReturn:
    """Say what is wrong on stderr, and end with 1."""
    typer.echo(f"yeyak: {sentence}", err=True)
    raise typer.Exit(1)


def configuration() -> Settings:
    """The settings; ends the command with the names of those that are wrong."""
    for chatty in ("aio_pika", "aiormq"):  # what they would log, the command says in its own words
        logging.getLogger(chatty).setLevel(logging.CRITICAL + 1)
    try:
        return settings()
    except ValidationError as error:
        fail("; ".join(wrong_settings(error)))


def wrong_settings(error: ValidationError) -> list[str]:
    """One sentence for each setting that is wrong, without its value: it may be a secret."""
    return [
        f"{PREFIX}{'.'.join(map(str, problem['loc'])).removeprefix(PREFIX.lower()).upper()}: {_lower(problem['msg'])}"
        for problem in error.errors(include_input=False, include_url=False, include_context=False)
    ]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
