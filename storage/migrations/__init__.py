"""Database migrations: one folder of Alembic revisions per schema, applied by `yeyak migrate`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

HERE = Path(__file__).parent


def folder(context: str) -> Path:
    """The folder with the revisions of a context."""
    return HERE.joinpath(*context.split("."))


def migrate(context: str, url: str, *, to: str = "head") -> None:
    """Upgrade the schema of a context to a revision; concurrent upgrades of a schema wait for each other.

    `url` is a plain `postgresql://` (or, for a view, any SQLAlchemy URL).
    """
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("version_locations", str(folder(context)))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    config.attributes["schema"] = context.replace(".", "_")
    command.upgrade(config, to)
