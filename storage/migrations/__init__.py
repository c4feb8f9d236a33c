"""Database migrations: one folder of Alembic revisions per schema, applied by `yeyak migrate`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config

from storage.migrations.locks import LockPolicy, migrate_when_granted

HERE = Path(__file__).parent


def folder(context: str) -> Path:
    """The folder with the revisions of a context."""
    return HERE.joinpath(*context.split("."))


def migrate(
    context: str,
    url: str,
    *,
    to: str = "head",
    policy: LockPolicy | None = None,
    report: Callable[[str], None] = lambda sentence: None,
) -> None:
    """Bring the schema of a context to a revision; two at once wait for each other.

    `url` is a plain `postgresql://` (or, for a view, any SQLAlchemy URL). On PostgreSQL a migration that gets no lock
    is repeated as `policy` says; `report` is called with a sentence each time. Raises LocksNotGranted in the end.
    Not to be called where an event loop runs.
    """
    schema = context.replace(".", "_")
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("version_locations", str(folder(context)))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    config.attributes["schema"] = schema

    def apply(lock_timeout: float) -> None:
        config.attributes["lock_timeout"] = lock_timeout
        command.upgrade(config, to)

    policy = policy or LockPolicy()
    if url.startswith("postgresql://"):
        asyncio.run(migrate_when_granted(apply, schema, url, policy, report))
    else:
        apply(policy.longest_wait)
