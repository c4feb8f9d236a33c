"""The journal keeps every event once, in the order of the stream, across restarts."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from contracts.journal import FindMark, MarkSet, ReadEvents
from tests.support.system import System, eventually
from workers.runtime.messaging import topology
from workers.runtime.messaging.exchanges import EVENTS


async def publish_events(system: System, *ids: UUID) -> None:
    """Publish one event for each message id; its mark has the same id."""
    for id in ids:
        await system.publish(MarkSet(mark_id=id, version=1), id=id)


async def kept_ids(system: System) -> list[UUID]:
    rows = await system.rows("journal", "select message_id from journal.events order by position")
    return [row["message_id"] for row in rows]


async def wait_until_kept(system: System, *ids: UUID) -> None:
    async def same() -> bool:
        return await kept_ids(system) == list(ids)

    try:
        await eventually(same, within=20)
    except AssertionError:
        assert await kept_ids(system) == list(ids)
        raise


async def test_events_are_kept_with_their_bodies_and_can_be_read_again(journal):
    first, second = uuid4(), uuid4()

    await publish_events(journal, first, second)
    await wait_until_kept(journal, first, second)

    events = (await journal.done(ReadEvents(topics=[MarkSet.topic])))["events"]
    assert [UUID(event["message_id"]) for event in events] == [first, second]
    assert MarkSet.model_validate_json(events[1]["body"]).mark_id == second
    later = (await journal.done(ReadEvents(topics=[MarkSet.topic], after=events[0]["position"])))["events"]
    assert later == events[1:]
    assert (await journal.done(ReadEvents(topics=["somebody.else"])))["events"] == []


async def test_a_mark_has_a_position_once_it_was_read(journal):
    mark = uuid4()
    assert await journal.done(FindMark(mark_id=mark)) == {"position": None}

    await publish_events(journal, mark)
    await wait_until_kept(journal, mark)

    assert (await journal.done(FindMark(mark_id=mark)))["position"] == 1


async def test_reading_continues_exactly_where_it_ended(journal_system):
    ids = [uuid4() for _ in range(30)]
    await journal_system.start("journal")
    await publish_events(journal_system, *ids[:10])
    await wait_until_kept(journal_system, *ids[:10])

    await journal_system.kill("journal")
    await publish_events(journal_system, *ids[10:20])
    await journal_system.start("journal")
    await wait_until_kept(journal_system, *ids[:20])
    await journal_system.stop("journal")
    await publish_events(journal_system, *ids[20:])
    await journal_system.start("journal")

    await wait_until_kept(journal_system, *ids)
    reader = await journal_system.one("journal", "select last_offset, position from journal.reader")
    assert tuple(reader) == (29, 30)


async def test_many_events_are_kept_in_few_transactions(journal_system):
    ids = [uuid4() for _ in range(1200)]
    await asyncio.gather(*(publish_events(journal_system, id) for id in ids))

    await journal_system.start("journal")

    async def all_kept() -> bool:
        return len(await kept_ids(journal_system)) == len(ids)

    await eventually(all_kept)
    assert set(await kept_ids(journal_system)) == set(ids)
    transactions = await journal_system.one("journal", "select count(distinct xmin::text) from journal.events")
    assert transactions[0] <= 10


async def test_an_event_that_is_published_twice_is_kept_once(journal):
    first, second = uuid4(), uuid4()

    await publish_events(journal, first, first)
    await wait_until_kept(journal, first)
    await publish_events(journal, first, second)

    await wait_until_kept(journal, first, second)


async def test_a_second_journal_takes_over_from_the_first(journal_system):
    first, second, third = uuid4(), uuid4(), uuid4()
    await journal_system.start("journal")
    await publish_events(journal_system, first)
    await wait_until_kept(journal_system, first)
    await journal_system.start("journal", replica="#2")
    await publish_events(journal_system, second)
    await wait_until_kept(journal_system, first, second)

    await journal_system.kill("journal")
    await publish_events(journal_system, third)

    await wait_until_kept(journal_system, first, second, third)


async def test_a_recreated_stream_is_read_from_its_start(journal_system):
    old, new = [uuid4() for _ in range(5)], [uuid4() for _ in range(2)]
    await journal_system.start("journal")
    await publish_events(journal_system, *old)
    await wait_until_kept(journal_system, *old)

    await delete_stream(journal_system)
    await topology.apply(journal_system.settings.amqp_url.get_secret_value(), topology.plan([]))
    await publish_events(journal_system, *new)

    await wait_until_kept(journal_system, *old, *new)


async def test_a_recreated_stream_that_is_longer_is_read_from_its_start_too(journal_system):
    old, new = [uuid4() for _ in range(2)], [uuid4() for _ in range(6)]
    await journal_system.start("journal")
    await publish_events(journal_system, *old)
    await wait_until_kept(journal_system, *old)
    await journal_system.stop("journal")

    await delete_stream(journal_system)
    await topology.apply(journal_system.settings.amqp_url.get_secret_value(), topology.plan([]))
    await publish_events(journal_system, *new)
    await journal_system.start("journal")

    await wait_until_kept(journal_system, *old, *new)


async def delete_stream(system: System) -> None:
    channel = await system.connection.channel()
    await channel.queue_delete(topology.STREAM)
    await channel.close()


async def test_the_reader_recovers_when_its_connections_are_cut(journal):
    first, second = uuid4(), uuid4()
    await publish_events(journal, first)
    await wait_until_kept(journal, first)

    await journal.rows(
        "journal",
        """
        select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'yeyak' and datname = current_database()""",
    )
    await publish_events(journal, second)

    await wait_until_kept(journal, first, second)


async def test_an_unreadable_event_is_kept_too(journal):
    channel = await journal.connection.channel()
    exchange = await channel.get_exchange(EVENTS, ensure=False)
    import aio_pika

    await exchange.publish(aio_pika.Message(b"\x00\xff not JSON", headers={"story_id": "none"}), "by.hand")
    later = uuid4()
    await publish_events(journal, later)

    async def both() -> bool:
        return len(await kept_ids(journal)) == 2

    await eventually(both)
    row = await journal.one("journal", "select topic, body from journal.events where position = 1")
    assert tuple(row) == ("by.hand", "\\x00\\xff not JSON")
