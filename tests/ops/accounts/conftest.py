"""A system with its queues and tables, without running contexts, and the files of every account."""

from __future__ import annotations

import pytest

from ops.accounts.files import Folder
from tests.conftest import MakeSettings
from tests.support.accounts import open_accounts
from workers.registry import workers
from workers.runtime.messaging import topology
from workers.runtime.settings import Settings


@pytest.fixture(scope="module")
async def admin_settings(make_settings: MakeSettings) -> Settings:
    """The administrator's settings of a system whose queues and tables exist."""
    settings: Settings = await make_settings()
    await topology.apply(settings.amqp_url.get_secret_value(), topology.plan(workers()))
    return settings


@pytest.fixture(scope="module")
async def folder(admin_settings: Settings, accounts_folder: Folder) -> Folder:
    return await open_accounts(admin_settings, accounts_folder.path)
