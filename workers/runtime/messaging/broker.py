"""A FastStream broker with two parts of its own: `PipelinedProducer` and `DirectSubscriber`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from aio_pika import connect_robust
from aiormq.exceptions import ChannelNotFoundEntity
from faststream import AckPolicy
from faststream._internal.endpoint.subscriber.call_item import CallsCollection
from faststream.rabbit import Channel, RabbitBroker, RabbitExchange, RabbitQueue
from faststream.rabbit.broker.registrator import RabbitRegistrator
from faststream.rabbit.subscriber.config import RabbitSubscriberConfig, RabbitSubscriberSpecificationConfig
from faststream.rabbit.subscriber.specification import RabbitSubscriberSpecification

from workers.runtime.messaging.connection import CONNECT_SECONDS, RECONNECT_SECONDS, SafeRobustConnection
from workers.runtime.messaging.errors import BrokerUnavailable, as_broker_errors
from workers.runtime.messaging.producer import PipelinedProducer
from workers.runtime.messaging.subscriber import DirectSubscriber

INSPECT_SECONDS = 3.0
UNSTEADY_RECONNECTIONS, UNSTEADY_SECONDS = 3, 60.0


class Broker(RabbitBroker):
    """A FastStream broker; `name` is the context or the program that it belongs to."""

    def __init__(
        self,
        url: str,
        name: str,
        *,
        graceful_timeout: float = 15.0,
        middlewares: Sequence[Any] = (),
        publishes: bool = True,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """`publishes=False` opens no connection for publications; `on_lost` is called when the other one is lost."""
        properties: Any = {"connection_name": f"{name}: consumer"}
        super().__init__(
            url,
            logger=None,
            app_id=name,
            timeout=CONNECT_SECONDS,
            reconnect_interval=RECONNECT_SECONDS,
            graceful_timeout=graceful_timeout,
            client_properties=properties,
            middlewares=middlewares,
            ack_policy=AckPolicy.MANUAL,
            on_close=[lambda *_: on_lost()],
            on_reconnected=[lambda *_: self._reconnections.append(time.monotonic())],
        )
        self._reconnections: deque[float] = deque(maxlen=UNSTEADY_RECONNECTIONS)
        self._publishes = publishes
        self.name = name
        self.producer = PipelinedProducer(url, name)
        self.config.broker_config.producer = self.producer
        self._connection_kwargs["connection_class"] = SafeRobustConnection
        self._inspecting = asyncio.Lock()
        self._inspection: Any = None

    # -- connections

    async def connect(self) -> Any:
        """Open the connections; a failed attempt leaves nothing behind."""
        try:
            connection = await super().connect()
            if self._is_real and self._publishes:
                await self.producer.open()
        except BaseException:
            await self.disconnect()
            raise
        return connection

    async def _connect(self) -> Any:
        """As `RabbitBroker._connect`, and closes the connection when its first channel cannot be opened."""
        connection: Any = await connect_robust(**self._connection_kwargs)
        for on_close in self._on_close:
            connection.close_callbacks.add(on_close)
        for on_reconnected in self._on_reconnected:
            connection.reconnect_callbacks.add(on_reconnected)
        try:
            if self._channel is None:
                self.config.connect(connection)
                self._channel = await self.config.channel_manager.get_channel()
        except BaseException:
            self.config.disconnect()
            await connection.close()
            raise
        return connection

    async def disconnect(self) -> None:
        """Close both connections at once; the broker delivers again what was not acknowledged."""
        await self.producer.close()
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await connection.close()
            self.config.disconnect()

    async def stop(self, exc_type: Any = None, exc_val: Any = None, exc_tb: Any = None) -> None:
        """Stop the subscribers, write what is left to write, and disconnect."""
        try:
            await super().stop(exc_type, exc_val, exc_tb)
        finally:
            await self.disconnect()

    @property
    def is_unsteady(self) -> bool:
        """Whether the consumers' connection was lost several times within a minute: what they do may end it."""
        recent = self._reconnections
        return len(recent) == UNSTEADY_RECONNECTIONS and time.monotonic() - recent[0] < UNSTEADY_SECONDS

    @property
    def _is_real(self) -> bool:
        """Whether messages go to RabbitMQ, and not to FastStream's test broker."""
        return self.config.producer is self.producer

    @property
    def is_usable(self) -> bool:
        """Both connections are there, and the broker accepts publications."""
        if not self._is_real:
            return True
        connection = cast("SafeRobustConnection | None", self._connection)
        return self.producer.is_usable and connection is not None and connection.connected.is_set()

    # -- subscribers

    def subscriber(  # type: ignore[override]
        self,
        queue: str | RabbitQueue,
        exchange: str | RabbitExchange | None = None,
        *,
        channel: Channel | None = None,
        consume_args: dict[str, Any] | None = None,
        ack_policy: AckPolicy = AckPolicy.MANUAL,
        no_reply: bool = False,
        title: str | None = None,
        description: str | None = None,
        include_in_schema: bool = True,
        persistent: bool = True,
        **options: Any,
    ) -> DirectSubscriber:
        """As `RabbitBroker.subscriber`, made as FastStream makes its own."""
        queue, exchange = RabbitQueue.validate(queue), RabbitExchange.validate(exchange)
        config: Any = self.config
        calls: CallsCollection[Any] = CallsCollection()
        specification = RabbitSubscriberSpecification(
            _outer_config=config,
            specification_config=RabbitSubscriberSpecificationConfig(
                title_=title,
                description_=description,
                include_in_schema=include_in_schema,
                queue=queue,
                exchange=exchange,
            ),
            calls=calls,
        )
        subscriber = DirectSubscriber(
            config=RabbitSubscriberConfig(
                no_reply=no_reply,
                consume_args=consume_args,
                channel=channel,
                queue=queue,
                exchange=exchange,
                _ack_policy=ack_policy,
                _outer_config=config,
            ),
            specification=specification,
            calls=calls,
        )
        super(RabbitRegistrator, self).subscriber(subscriber, persistent=persistent)
        subscriber.add_call(parser_=None, decoder_=None, dependencies_=())
        return subscriber

    async def restart_subscribers(self) -> None:
        """Consume every queue anew, on new channels: a queue that was deleted has lost its consumer."""
        for subscriber in self.subscribers:
            await subscriber.stop()
        self.config.broker_config.declarer.disconnect()
        for subscriber in self.subscribers:
            await subscriber.start()

    # -- queues

    async def bind(self, queue: str, exchange: str, routing_key: str) -> None:
        """Bind a queue, which changes nothing when it is bound already."""
        async with asyncio.timeout(INSPECT_SECONDS), self._inspecting:
            with as_broker_errors():
                channel = await self._inspection_channel()
                await channel.queue_bind(queue, exchange, routing_key=routing_key)

    async def inspect_queue(self, queue: str) -> tuple[int, int] | None:
        """How many messages wait in a queue and how many consumers it has; None when there is no such queue."""
        if not self._is_real:
            return (0, 1)
        async with asyncio.timeout(INSPECT_SECONDS), self._inspecting:
            try:
                with as_broker_errors():
                    channel = await self._inspection_channel()
                    found = await channel.queue_declare(queue, passive=True)
            except ChannelNotFoundEntity:
                return None
        return found.message_count or 0, found.consumer_count or 0

    async def _inspection_channel(self) -> Any:
        """A plain channel, one call at a time: the broker closes it when a queue is missing, and it is opened anew."""
        connection = self.producer.connection
        if connection is None or not connection.is_usable:
            raise BrokerUnavailable("the broker is unavailable")
        if self._inspection is None or self._inspection.is_closed:
            transport: Any = connection.transport
            if transport is None:
                raise BrokerUnavailable("the broker became unavailable")
            self._inspection = await transport.connection.channel()
        return self._inspection
