"""How the tables came to be: one folder of Alembic revisions per schema, applied by `yeyak migrate`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

HERE = Path(__file__).parent


def folder(context: str) -> Path:
    """The revisions of a context, by its name."""
    return HERE.joinpath(*context.split("."))


def migrate(context: str, url: str, *, to: str = "head") -> None:
    """Bring the schema of a context to a revision; two at once wait for each other.

    `url` is a plain `postgresql://` (or, for a view, any SQLAlchemy URL).
    """
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("version_locations", str(folder(context)))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    config.attributes["schema"] = context.replace(".", "_")
    command.upgrade(config, to)
