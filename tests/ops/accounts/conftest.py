"""A system with its queues and tables, without running contexts, and the files of every account."""

from __future__ import annotations

import pytest

from ops.accounts.files import Folder
from ops.settings import SystemSettings
from tests.conftest import MakeSettings
from tests.support.accounts import open_accounts
from workers.registry import workers
from workers.runtime.messaging import topology


@pytest.fixture(scope="module")
async def admin_settings(make_settings: MakeSettings) -> SystemSettings:
    """The administrator's settings of a system whose queues and tables exist."""
    settings: SystemSettings = await make_settings()
    await topology.apply(settings.amqp_url.get_secret_value(), topology.plan(workers()))
    return settings


@pytest.fixture(scope="module")
async def folder(admin_settings: SystemSettings, accounts_folder: Folder) -> Folder:
    return await open_accounts(admin_settings, accounts_folder.path)
