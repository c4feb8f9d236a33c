"""The exchanges, queues and bindings of the system, from what its workers handle; the only source of them.

Durable messages wait in quorum queues whose dead letters are kept, requests in queues where losing one is an unknown
outcome. The stream is bound to events only: bound to commands it would make an unroutable command look delivered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import aio_pika
from aio_pika import ExchangeType
from aio_pika.exceptions import AMQPError, ChannelPreconditionFailed

from workers.runtime.messaging.exchanges import (
    COMMANDS,
    DEAD,
    EVENTS,
    QUERIES,
    REPLIES,
    SESSION_STREAM,
    SESSIONS,
    STREAM,
)
from workers.runtime.messaging.subscriptions import QueueOwner

EXCHANGES = {
    COMMANDS: ExchangeType.TOPIC,
    QUERIES: ExchangeType.TOPIC,
    EVENTS: ExchangeType.TOPIC,
    DEAD: ExchangeType.TOPIC,
    REPLIES: ExchangeType.DIRECT,
    SESSIONS: ExchangeType.TOPIC,
}
DEAD_QUEUE = "yeyak.dead"

DURABLE = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 200,
    "x-dead-letter-exchange": DEAD,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
    "x-max-length-bytes": 512 * 2**20,
}
DEAD_LETTERS = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}
JOURNAL = {
    "x-queue-type": "stream",
    "x-max-age": "7D",
    "x-max-length-bytes": 4 * 2**30,
    "x-stream-max-segment-size-bytes": 50_000_000,
}
ENDED_SESSIONS = {
    "x-queue-type": "stream",
    "x-max-age": "25h",
    "x-max-length-bytes": 128 * 2**20,
    "x-stream-max-segment-size-bytes": 4_000_000,
}
"""Kept for longer than a session may last (`GatewaySettings.session_hours`)."""


@dataclass(frozen=True)
class QueueDeclaration:
    """A queue, what it is made of, and where its messages come from."""

    name: str
    exchange: str
    keys: list[str]
    arguments: dict[str, Any] = field(default_factory=dict)


def plan(workers: Iterable[QueueOwner], request_queue_type: str = "classic") -> list[QueueDeclaration]:
    """Every queue of the system, the dead letters' first: others point to it."""
    request = {"x-queue-type": request_queue_type, "x-max-length": 20_000}
    queues = [
        QueueDeclaration(DEAD_QUEUE, DEAD, ["#"], DEAD_LETTERS),
        QueueDeclaration(STREAM, EVENTS, ["#"], JOURNAL),
        QueueDeclaration(SESSION_STREAM, SESSIONS, ["#"], ENDED_SESSIONS),
    ]
    for worker in workers:
        for name, handler in worker.queues().items():
            arguments = DURABLE if handler.message.delivery() == "durable" else request
            queues.append(QueueDeclaration(name, handler.message.exchange, handler.keys, arguments))
    return queues


class QueueConflict(Exception):
    """The broker has a queue of this name with other arguments; the text is the name."""


async def apply(url: str, queues: list[QueueDeclaration]) -> None:
    """Assert exchanges, queues and bindings; raises QueueConflict, or an AMQP error."""
    connection = await aio_pika.connect(url, timeout=10)
    async with connection:
        channel = await connection.channel()
        for name, kind in EXCHANGES.items():
            await channel.declare_exchange(name, kind, durable=True)
        for queue in queues:
            try:
                declared = await channel.declare_queue(queue.name, durable=True, arguments=queue.arguments)
            except ChannelPreconditionFailed:
                raise QueueConflict(queue.name) from None
            for key in queue.keys:
                await declared.bind(queue.exchange, routing_key=key)


def definitions(queues: list[QueueDeclaration]) -> dict[str, Any]:
    """The same as RabbitMQ's `definitions.json`."""
    return {
        "exchanges": [
            {
                "name": name,
                "vhost": "/",
                "type": kind.value,
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
            for name, kind in EXCHANGES.items()
        ],
        "queues": [
            {"name": queue.name, "vhost": "/", "durable": True, "auto_delete": False, "arguments": queue.arguments}
            for queue in queues
        ],
        "bindings": [
            {
                "source": queue.exchange,
                "vhost": "/",
                "destination": queue.name,
                "destination_type": "queue",
                "routing_key": key,
                "arguments": {},
            }
            for queue in queues
            for key in queue.keys
        ],
    }


__all__ = [
    "DEAD_QUEUE",
    "STREAM",
    "AMQPError",
    "QueueConflict",
    "QueueDeclaration",
    "apply",
    "definitions",
    "plan",
]
