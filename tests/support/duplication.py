"""A broker that delivers everything twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika

from tests.support.system import System


@asynccontextmanager
async def everything_twice(system: System) -> AsyncIterator[list[str]]:
    """Publish a copy of each command and event as soon as it was published; yields the topics of the copies."""
    copied: list[str] = []
    connection = await aio_pika.connect(system.settings.amqp_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        exchanges = {name: await channel.get_exchange(name) for name in ("yeyak.commands", "yeyak.events")}
        for exchange in exchanges:
            await queue.bind(exchange, "#")

        async def publish_copy(message: Any) -> None:
            if message.headers.get("x-copy"):
                return
            copy = aio_pika.Message(
                message.body,
                message_id=message.message_id,
                type=message.type,
                app_id=message.app_id,
                reply_to=message.reply_to,
                correlation_id=message.correlation_id,
                delivery_mode=message.delivery_mode,
                headers={**message.headers, "x-copy": True},
            )
            await exchanges[message.exchange].publish(copy, routing_key=message.routing_key)
            copied.append(message.routing_key)

        await queue.consume(publish_copy, no_ack=True)
        yield copied
