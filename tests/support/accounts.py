"""The accounts of a system: every process signs in with its own, as after `make up`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ops import management
from ops.accounts import rights, roles
from ops.accounts.files import PROVIDER, Addresses, Folder
from ops.accounts.plan import accounts
from workers.registry import CONTEXTS, workers
from workers.runtime.settings import Settings


def template(url: str) -> str:
    """The URL with placeholders for another account."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{{user}}:{{password}}@{rest.rpartition('@')[2]}"


async def open_accounts(settings: Settings, folder: Path) -> Folder:
    """Write the accounts of a system to a folder, and make their users and roles; `settings` are those of an admin.

    Users belong to the whole broker and roles to the whole database server: the systems of a suite share a folder.
    """
    kept = Folder(folder)
    addresses = Addresses(
        amqp=template(settings.amqp_url.get_secret_value()),
        database=template(settings.database_url.get_secret_value()),
        provider_database=template(settings.provider_database),
    )
    await asyncio.to_thread(kept.write, CONTEXTS, addresses, move=True)
    async with management.client(settings, timeout=30.0) as api:
        await rights.apply(api, accounts(workers()), management.vhost(settings), kept.broker_user)
    await roles.apply(settings.database_url.get_secret_value(), list(CONTEXTS), kept)
    await roles.apply(settings.provider_database, [PROVIDER], kept)
    return kept


def settings_of(folder: Folder, settings: Settings, account: str) -> Settings:
    """The settings of a process that signs in with that account."""
    given: dict[str, Any] = {name: getattr(settings, name) for name in settings.model_fields_set}
    return Settings(**(given | folder.settings_of(account)))
