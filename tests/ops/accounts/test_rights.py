"""The rights of each account on a real broker, and the plan that they follow from."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aiormq.exceptions import ChannelAccessRefused

from contracts.base import CATALOGUE, Event
from gateway_api.app import all_routes
from ops.accounts.files import AMQP, Folder
from ops.accounts.plan import Account, accounts
from ops.settings import SystemSettings
from tests.conftest import MakeSettings
from workers.registry import CONTEXTS, workers

Action = Callable[[AbstractChannel, str], Awaitable[object]]
ACCOUNTS = (*CONTEXTS, "gateway", "operator")


@pytest.fixture(scope="module")
async def connections(folder: Folder) -> AsyncIterator[dict[str, AbstractConnection]]:
    """A connection for each account."""
    signed_in = {name: await aio_pika.connect(folder.read(name)[AMQP], timeout=10) for name in ACCOUNTS}
    yield signed_in
    for connection in signed_in.values():
        await connection.close()


async def read(channel: AbstractChannel, queue: str) -> None:
    source = await channel.get_queue(queue, ensure=False)

    async def give_back(message: AbstractIncomingMessage) -> None:
        await message.nack(requeue=True)

    await source.cancel(await source.consume(give_back))


async def steal(channel: AbstractChannel, queue: str) -> None:
    source = await channel.get_queue(queue, ensure=False)
    await source.get(fail=False, no_ack=False)


async def follow(channel: AbstractChannel, stream: str) -> None:
    source = await channel.get_queue(stream, ensure=False)
    await channel.set_qos(1)

    async def look(message: AbstractIncomingMessage) -> None:
        await message.ack()

    await source.cancel(await source.consume(look, arguments={"x-stream-offset": "first"}))


async def purge(channel: AbstractChannel, queue: str) -> None:
    await (await channel.get_queue(queue, ensure=False)).purge()


async def delete(channel: AbstractChannel, queue: str) -> None:
    await channel.queue_delete(queue)


async def declare(channel: AbstractChannel, queue: str) -> None:
    await (await channel.declare_queue(queue, exclusive=True)).delete()


async def publish(channel: AbstractChannel, where: str) -> None:
    """Publish to `exchange topic`; the empty exchange writes into a queue."""
    exchange, _, topic = where.partition(" ")
    target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
    await target.publish(aio_pika.Message(b"{}", expiration=0.001), routing_key=topic, mandatory=False, timeout=10)


async def bind(channel: AbstractChannel, where: str) -> None:
    """Bind `queue exchange key`."""
    queue, exchange, key = where.split(" ")
    await (await channel.get_queue(queue, ensure=False)).bind(exchange, routing_key=key)


async def listen(channel: AbstractChannel, where: str) -> None:
    """Declare an exclusive queue, bind it and consume from it: `queue exchange key`."""
    queue, exchange, key = where.split(" ")
    mine = await channel.declare_queue(queue, exclusive=True)
    await mine.bind(exchange, routing_key=key)
    await mine.delete()


ALLOWED: list[tuple[str, Action, str]] = [
    ("cafe.menu", steal, "cafe.menu.quote_price@cafe.menu"),
    ("cafe.menu", publish, "yeyak.events cafe.menu.menu_item_changed"),
    ("cafe.menu", publish, "yeyak.commands journal.record_handled"),
    ("cafe.menu", publish, "yeyak.dead cafe.menu.quote_price"),
    ("cafe.menu", publish, "yeyak.replies some-requester"),
    ("cafe.menu", bind, "cafe.menu.quote_price@cafe.menu yeyak.queries cafe.menu.quote_price"),
    ("cafe.orders", publish, "yeyak.queries cafe.menu.quote_price"),
    ("video_rental.rentals", publish, "yeyak.commands payments.request_payment"),
    ("payments", publish, "yeyak.events payments.payment_approved.video_rental.rentals"),
    ("journal", publish, "yeyak.commands cafe.menu.take_up_dead_letter"),
    ("journal", steal, "yeyak.dead"),
    ("gateway", publish, "yeyak.commands video_rental.rentals.book_video"),
    ("gateway", publish, "yeyak.queries video_rental.videos.list_videos"),
    ("gateway", listen, "yeyak.live.one yeyak.events #"),
    ("gateway", publish, "yeyak.sessions session_ended"),
    ("gateway", follow, "yeyak.ended_sessions"),
    ("operator", publish, "yeyak.queries journal.tell_story"),
    ("cafe.report", bind, "cafe.menu.menu_item_changed@cafe.report yeyak.events cafe.menu.menu_item_changed"),
]
FORBIDDEN: list[tuple[str, Action, str]] = [
    # messages of another context
    ("cafe.menu", read, "payments.request_payment@payments"),
    ("cafe.menu", steal, "cafe.orders.place_order@cafe.orders"),
    ("cafe.menu", steal, "yeyak.dead"),
    ("cafe.menu", read, "yeyak.journal"),
    ("gateway", steal, "payments.request_payment@payments"),
    ("operator", steal, "payments.request_payment@payments"),
    # who has signed out of the console
    ("operator", publish, "yeyak.sessions session_ended"),
    ("cafe.menu", publish, "yeyak.sessions session_ended"),
    ("cafe.menu", follow, "yeyak.ended_sessions"),
    ("journal", follow, "yeyak.ended_sessions"),
    ("gateway", publish, "yeyak.sessions anything"),
    ("gateway", delete, "yeyak.ended_sessions"),
    ("gateway", bind, "yeyak.ended_sessions yeyak.events #"),
    ("payments", purge, "video_rental.rentals.book_video@video_rental.rentals"),
    ("journal", steal, "cafe.orders.place_order@cafe.orders"),
    # publishing messages of another context
    ("cafe.menu", publish, "yeyak.events payments.payment_approved"),
    ("cafe.menu", publish, "yeyak.events cafe.menu"),
    ("cafe.menu", publish, "yeyak.events xcafe.menu.menu_item_changed"),
    ("cafe.menu", publish, "yeyak.events cafe.menu.menu_item_changed.elsewhere"),
    ("cafe.report", publish, "yeyak.events cafe.orders.order_placed"),
    ("gateway", publish, "yeyak.events video_rental.rentals.video_booked"),
    ("operator", publish, "yeyak.events payments.payment_approved"),
    ("video_rental.my_page", publish, "yeyak.dead payments.request_payment"),
    # publishing to contexts that it does not declare
    ("cafe.menu", publish, "yeyak.commands payments.request_payment"),
    ("cafe.orders", publish, "yeyak.queries shop.orders.show_order"),
    ("cafe.orders", publish, "yeyak.commands cafe.menu.register_menu_item"),
    ("cafe.orders", publish, "yeyak.commands cafe.menu.take_up_dead_letter"),
    ("shop.deliveries", publish, "yeyak.commands payments.void_payment"),
    ("video_rental.my_page", publish, "yeyak.queries video_rental.rentals.show_rental"),
    ("gateway", publish, "yeyak.commands payments.void_payment"),
    ("gateway", publish, "yeyak.replies some-requester"),
    ("operator", publish, "yeyak.commands payments.request_payment"),
    # consuming from other queues
    ("cafe.menu", bind, "cafe.menu.quote_price@cafe.menu yeyak.events payments.payment_approved"),
    ("cafe.menu", bind, "cafe.menu.quote_price@cafe.menu yeyak.events #"),
    ("cafe.menu", bind, "cafe.menu.quote_price@cafe.menu yeyak.commands payments.request_payment"),
    ("cafe.menu", bind, "cafe.orders.place_order@cafe.orders yeyak.commands cafe.orders.place_order"),
    ("video_rental.rentals", bind, "video_rental.rentals.book_video@video_rental.rentals yeyak.dead #"),
    ("gateway", listen, "yeyak.live.one yeyak.commands #"),
    ("journal", bind, "journal.tell_story@journal yeyak.events #"),
    # changing the broker's objects
    ("payments", declare, "a-queue-of-my-own"),
    ("payments", declare, "cafe.menu.4b8e1c1e-8a2b-4c47-9d5e-0f8a1f2b3c4d@replies"),
    ("cafe.menu", declare, "yeyak.live.one"),
    ("payments", delete, "payments.request_payment@payments"),
    ("payments", publish, " payments.request_payment@payments"),
    ("gateway", publish, " payments.request_payment@payments"),
    ("operator", publish, " yeyak.dead"),
]


def named(case: tuple[str, Action, str]) -> str:
    who, action, what = case
    return f"{who} {action.__name__} {what}"


@pytest.mark.parametrize("case", ALLOWED, ids=named)
async def test_an_account_may_do_what_it_needs(
    connections: dict[str, AbstractConnection], case: tuple[str, Action, str]
) -> None:
    who, action, what = case

    async with connections[who].channel() as channel:
        await action(channel, what)


@pytest.mark.parametrize("case", FORBIDDEN, ids=named)
async def test_an_account_must_not_do_anything_else(
    connections: dict[str, AbstractConnection], case: tuple[str, Action, str]
) -> None:
    who, action, what = case
    channel = await connections[who].channel()

    with pytest.raises(ChannelAccessRefused):
        await action(channel, what)


@pytest.mark.parametrize("name", ACCOUNTS)
async def test_an_account_receives_replies_to_itself(connections: dict[str, AbstractConnection], name: str) -> None:
    reply_name = "ops" if name == "operator" else name
    queue = f"{reply_name}.{uuid4()}@replies"

    async with connections[name].channel() as channel:
        await listen(channel, f"{queue} yeyak.replies {queue}")


async def test_an_account_cannot_connect_to_another_system(folder: Folder, make_settings: MakeSettings) -> None:
    elsewhere: SystemSettings = await make_settings()
    vhost = elsewhere.amqp_url.get_secret_value().rpartition("/")[2]
    there = folder.read("payments")[AMQP].rpartition("/")[0]

    with pytest.raises(aio_pika.exceptions.AMQPError):
        await aio_pika.connect(f"{there}/{vhost}", timeout=10)


# -- the plan


@pytest.fixture(scope="module")
def plan() -> dict[str, Account]:
    return {account.name: account for account in accounts(workers())}


def may(topics: dict[str, frozenset[str]], message: str) -> bool:
    contract = CATALOGUE[message]
    return any(re.fullmatch(pattern, message) for pattern in topics.get(contract.exchange, ()))


def test_each_message_has_one_account_that_may_publish_it(plan: dict[str, Account]) -> None:
    system = {one.name for one in workers()}
    topics = [topic for topic, message in CATALOGUE.items() if message.owner() in system]  # other tests have their own
    publishers = {topic: [name for name, one in plan.items() if may(dict(one.sends), topic)] for topic in topics}

    timers = {topic for topic, who in publishers.items() if not who}
    events = {topic: who for topic, who in publishers.items() if issubclass(CATALOGUE[topic], Event)}

    assert {topic: who for topic, who in events.items() if who[:1] != [CATALOGUE[topic].owner()]} == {}
    assert {topic for topic in timers if CATALOGUE[topic].delivery() == "request"} == set()


def test_the_gateways_account_may_send_the_message_of_every_route(plan: dict[str, Account]) -> None:
    topics = {route.operation.message.topic for route in all_routes()}

    assert {topic for topic in topics if not may(dict(plan["gateway"].sends), topic)} == set()


def test_a_worker_declares_every_foreign_message_that_it_imports(plan: dict[str, Account]) -> None:
    """A message of another context can only be sent by a module that imports it."""
    for worker in workers():
        modules = [
            module
            for name, module in sys.modules.items()
            if name == f"workers.{worker.name}" or name.startswith(f"workers.{worker.name}.")
        ]
        imported = {
            thing.topic
            for module in modules
            for thing in vars(module).values()
            if isinstance(thing, type) and thing in CATALOGUE.values() and not issubclass(thing, Event)
        }
        foreign = {topic for topic in imported if CATALOGUE[topic].owner() != worker.name}
        requested = {callee.topic for handler in worker.handlers.values() for callee in handler.requests}

        sent = {message.topic for message in worker.sends if message.owner() != worker.name}
        assert sent | requested == foreign, worker.name
