"""Every event is kept once, in the order of the stream, whatever restarts."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from workers.runtime.messaging.bus import EVENTS

from contracts.journal import FindMark, MarkSet, ReadEvents
from tests.support.system import System, eventually
from workers.runtime.messaging import envelope, topology


async def say(system: System, *ids: UUID) -> None:
    """Say an event under each message id; it names the same id as its mark."""
    for id in ids:
        body = MarkSet(mark_id=id, version=1).model_dump_json().encode()
        await system.bus.publish(
            EVENTS, MarkSet.topic, envelope.told(id, body, MarkSet.topic, "test", id, None, "tester")
        )


async def kept(system: System) -> list[UUID]:
    rows = await system.rows("journal", "select message_id from journal.events order by position")
    return [row["message_id"] for row in rows]


async def until_kept(system: System, *ids: UUID) -> None:
    async def same() -> bool:
        return await kept(system) == list(ids)

    try:
        await eventually(same, within=20)
    except AssertionError:
        assert await kept(system) == list(ids)
        raise


async def test_events_are_kept_with_their_bodies_and_can_be_read_again(journal):
    first, second = uuid4(), uuid4()

    await say(journal, first, second)
    await until_kept(journal, first, second)

    events = (await journal.done(ReadEvents(topics=[MarkSet.topic])))["events"]
    assert [UUID(event["message_id"]) for event in events] == [first, second]
    assert MarkSet.model_validate_json(events[1]["body"]).mark_id == second
    later = (await journal.done(ReadEvents(topics=[MarkSet.topic], after=events[0]["position"])))["events"]
    assert later == events[1:]
    assert (await journal.done(ReadEvents(topics=["somebody.else"])))["events"] == []


async def test_a_mark_has_a_position_once_it_was_read(journal):
    mark = uuid4()
    assert await journal.done(FindMark(mark_id=mark)) == {"position": None}

    await say(journal, mark)
    await until_kept(journal, mark)

    assert (await journal.done(FindMark(mark_id=mark)))["position"] == 1


async def test_reading_goes_on_exactly_where_it_ended(house):
    ids = [uuid4() for _ in range(30)]
    await house.start("journal")
    await say(house, *ids[:10])
    await until_kept(house, *ids[:10])

    await house.kill("journal")
    await say(house, *ids[10:20])
    await house.start("journal")
    await until_kept(house, *ids[:20])
    await house.stop("journal")
    await say(house, *ids[20:])
    await house.start("journal")

    await until_kept(house, *ids)
    reader = await house.one("journal", "select last_offset, position from journal.reader")
    assert tuple(reader) == (29, 30)


async def test_many_events_are_kept_in_few_transactions(house):
    ids = [uuid4() for _ in range(1200)]
    await asyncio.gather(*(say(house, id) for id in ids))

    await house.start("journal")

    async def all_kept() -> bool:
        return len(await kept(house)) == len(ids)

    await eventually(all_kept)
    assert set(await kept(house)) == set(ids)
    transactions = await house.one("journal", "select count(distinct xmin::text) from journal.events")
    assert transactions[0] <= 10


async def test_an_event_that_is_said_twice_is_kept_once(journal):
    first, second = uuid4(), uuid4()

    await say(journal, first, first)
    await until_kept(journal, first)
    await say(journal, first, second)

    await until_kept(journal, first, second)


async def test_a_second_journal_stands_by_and_takes_over(house):
    first, second, third = uuid4(), uuid4(), uuid4()
    await house.start("journal")
    await say(house, first)
    await until_kept(house, first)
    await house.start("journal", replica="#2")
    await say(house, second)
    await until_kept(house, first, second)

    await house.kill("journal")
    await say(house, third)

    await until_kept(house, first, second, third)


async def test_a_stream_that_is_made_anew_is_read_from_its_start(house):
    old, new = [uuid4() for _ in range(5)], [uuid4() for _ in range(2)]
    await house.start("journal")
    await say(house, *old)
    await until_kept(house, *old)

    await delete_stream(house)
    await topology.apply(house.settings.amqp_url.get_secret_value(), topology.plan([]))
    await say(house, *new)

    await until_kept(house, *old, *new)


async def test_a_longer_stream_that_is_made_anew_is_noticed_too(house):
    old, new = [uuid4() for _ in range(2)], [uuid4() for _ in range(6)]
    await house.start("journal")
    await say(house, *old)
    await until_kept(house, *old)
    await house.stop("journal")

    await delete_stream(house)
    await topology.apply(house.settings.amqp_url.get_secret_value(), topology.plan([]))
    await say(house, *new)
    await house.start("journal")

    await until_kept(house, *old, *new)


async def delete_stream(system: System) -> None:
    channel = await system.connection.channel()
    await channel.queue_delete(topology.STREAM)
    await channel.close()


async def test_the_reader_comes_back_when_its_connections_are_cut(journal):
    first, second = uuid4(), uuid4()
    await say(journal, first)
    await until_kept(journal, first)

    await journal.rows(
        "journal",
        """
        select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'yeyak' and datname = current_database()""",
    )
    await say(journal, second)

    await until_kept(journal, first, second)


async def test_an_event_that_nobody_can_read_is_kept_all_the_same(journal):
    channel = await journal.connection.channel()
    exchange = await channel.get_exchange(EVENTS, ensure=False)
    import aio_pika

    await exchange.publish(aio_pika.Message(b"\x00\xff not JSON", headers={"story_id": "none"}), "by.hand")
    later = uuid4()
    await say(journal, later)

    async def both() -> bool:
        return len(await kept(journal)) == 2

    await eventually(both)
    row = await journal.one("journal", "select topic, body from journal.events where position = 1")
    assert tuple(row) == ("by.hand", "\\x00\\xff not JSON")
