"""The client of the broker's management API."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from gateway_api.console import broker_figures
from ops.settings import SystemSettings
from tests.support.system import System
from workers.runtime.messaging.management import ManagementClient, ManagementUnavailable

UNREACHABLE = SecretStr("http://kim:secret@127.0.0.1:1")


async def test_it_lists_the_queues_of_its_virtual_host(system: System) -> None:
    async with ManagementClient(system.settings) as api:
        queues = await api.queues()

    assert "video_rental.rentals.book_video@video_rental.rentals" in {queue["name"] for queue in queues}


async def test_an_object_that_does_not_exist_is_an_error(system: System) -> None:
    async with ManagementClient(system.settings) as api:
        with pytest.raises(ManagementUnavailable, match="404"):
            await api.delete_exchange(api.vhost, "no.such.exchange")


@pytest.mark.parametrize("address", [None, UNREACHABLE])
async def test_without_an_api_there_is_one_error_and_no_figures(address: SecretStr | None) -> None:
    settings = SystemSettings(rabbitmq_api=address)

    with pytest.raises(ManagementUnavailable) as unavailable:
        async with ManagementClient(settings) as api:
            await api.queues()

    assert "secret" not in str(unavailable.value)
    assert not (await broker_figures.read(settings)).available
