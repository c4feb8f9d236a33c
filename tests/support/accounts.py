"""The accounts of a system: every process signs in with its own, as after `make up`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ops.accounts import rights, roles
from ops.accounts.files import PROVIDER, Addresses, Folder
from ops.accounts.plan import accounts
from ops.settings import SystemSettings
from workers.registry import CONTEXTS, workers
from workers.runtime.messaging.management import ManagementClient


def template(url: str) -> str:
    """The URL with placeholders for another account."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{{user}}:{{password}}@{rest.rpartition('@')[2]}"


async def open_accounts(settings: SystemSettings, folder: Path) -> Folder:
    """Write the accounts of a system that `settings` administer, and make their users and roles.

    Users belong to the whole broker and roles to the whole database server: the systems of a suite share a folder.
    """
    kept = Folder(folder)
    addresses = Addresses(
        amqp=template(settings.amqp_url.get_secret_value()),
        database=template(settings.database_url.get_secret_value()),
        provider_database=template(settings.provider_database),
    )
    await asyncio.to_thread(kept.write, CONTEXTS, addresses, move=True)
    async with ManagementClient(settings, timeout=30.0) as api:
        await rights.apply(api, accounts(workers()), kept.broker_user)
    await roles.apply(settings.database_url.get_secret_value(), list(CONTEXTS), kept)
    await roles.apply(settings.provider_database, [PROVIDER], kept)
    return kept


def settings_of(folder: Folder, settings: SystemSettings, account: str) -> SystemSettings:
    """The settings of a process that signs in with that account."""
    given: dict[str, Any] = {name: getattr(settings, name) for name in settings.model_fields_set}
    return SystemSettings(**(given | folder.settings_of(account)))
