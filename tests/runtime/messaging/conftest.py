"""A broker of FastStream on a virtual host of its own, with the accelerator and without it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import aio_pika
import pytest

from tests.support import servers as support
from tests.support.servers import Servers
from workers.runtime.messaging import accelerator, topology
from workers.runtime.messaging.broker import Broker


@pytest.fixture(params=["accelerator", "library"])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    before = accelerator.is_enabled()
    accelerator.enable() if request.param == "accelerator" else accelerator.disable()
    yield request.param
    accelerator.enable() if before else accelerator.disable()


@pytest.fixture(scope="module")
async def url(servers: Servers) -> AsyncIterator[str]:
    amqp_url = await support.create_vhost(servers)
    await topology.apply(amqp_url, topology.plan([]))
    yield amqp_url
    await support.delete_vhost(servers, amqp_url)


@pytest.fixture
async def broker(url: str, path: str) -> AsyncIterator[Broker]:
    broker = Broker(url, "test")
    await broker.connect()
    yield broker
    await broker.stop()


@pytest.fixture
async def channel(url: str, path: str) -> AsyncIterator[Any]:
    connection = await aio_pika.connect(url)
    yield await connection.channel()
    await connection.close()
