"""What a view must do alike in every kind of database; `--views` names the kind under test."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from uuid import UUID, uuid4

import pytest

from contracts.base import LONGEST_MEMBER_ID, Caller, Event
from contracts.video_rental.my_page import ListMyPage, MyPage, MyPageEntry, ShowMyPage
from contracts.video_rental.rentals import BookingCancelled, RentalStatus, VideoBooked
from contracts.video_rental.videos import VideoRegistered, VideoStatus
from ops.settings import SystemSettings
from storage.video_rental import my_page as store
from storage.views import ViewDatabase
from tests.conftest import MakeSettings
from tests.support.states import rental_fields
from workers.runtime.projections.rebuild import _begin
from workers.runtime.projections.view import CONNECTION_ERRORS, apply
from workers.video_rental.my_page import worker

NAME = "video_rental.my_page"
STAFF = Caller(member_id="staff", role="staff")
NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=9)))

Open = Callable[[], ViewDatabase]


@pytest.fixture
async def settings(make_settings: MakeSettings) -> SystemSettings:
    made: SystemSettings = await make_settings()
    return made


@pytest.fixture
async def opened(settings: SystemSettings) -> AsyncIterator[Open]:
    """Opens the view's database, as a replica would."""
    stores: list[ViewDatabase] = []

    def open_it() -> ViewDatabase:
        stores.append(ViewDatabase(worker.tables, settings.database_of(NAME)))
        stores[-1].open()
        return stores[-1]

    yield open_it
    for one in stores:
        await one.close()


@pytest.fixture
def view(opened: Open) -> ViewDatabase:
    return opened()


def rental(rental_id: UUID, version: int, kind: type[Event] = VideoBooked, **changes: object) -> Event:
    fields = rental_fields(rental_id=rental_id, version=version, created_at=NOON, modified_at=NOON)
    return kind(**(fields | changes))


async def entry(view: ViewDatabase, rental_id: UUID) -> MyPageEntry:
    async with view.read() as connection:
        found: MyPageEntry | None = await store.queries.find(connection, ShowMyPage(rental_id=rental_id, caller=STAFF))
    assert found is not None
    return found


async def page(view: ViewDatabase, **query: object) -> MyPage:
    async with view.read() as connection:
        found: MyPage = await store.queries.newest(connection, ListMyPage(**query))
    return found


async def test_the_view_is_in_the_kind_of_database_under_test(
    view: ViewDatabase, request: pytest.FixtureRequest
) -> None:
    assert view.engine.dialect.name == request.config.getoption("--views")


async def test_a_newer_state_replaces_every_column_and_an_older_one_none(view: ViewDatabase) -> None:
    id, first, third = uuid4(), {"price": 1, "reason": "first", "pickup_until": NOON}, {"price": 3, "days": 3}

    await apply(worker, view, [rental(id, 1, **first)])
    await apply(worker, view, [rental(id, 3, BookingCancelled, status=RentalStatus.CANCELLED, **third)])
    await apply(worker, view, [rental(id, 2, price=2, reason="second", pickup_until=NOON)])

    seen = await entry(view, id)
    assert (seen.version, seen.status, seen.price, seen.days) == (3, "CANCELLED", 3, 3)
    assert (seen.reason, seen.pickup_until) == (None, None)
    assert len(seen.timeline) == 3


async def test_the_longest_member_id_is_kept(view: ViewDatabase) -> None:
    id, longest = uuid4(), "m" * LONGEST_MEMBER_ID

    await apply(worker, view, [rental(id, 1, member_id=longest)])

    assert [item.rental_id for item in (await page(view, member_id=longest)).items] == [id]


async def test_the_same_batch_again_changes_nothing(view: ViewDatabase) -> None:
    id = uuid4()
    batch = [rental(id, 1), rental(id, 2, BookingCancelled, status=RentalStatus.CANCELLED, reason="no time")]

    await apply(worker, view, batch)
    before = (await entry(view, id)).model_dump(exclude={"as_of"})
    await apply(worker, view, batch)

    assert (await entry(view, id)).model_dump(exclude={"as_of"}) == before


async def test_a_line_of_the_timeline_keeps_its_first_content(view: ViewDatabase) -> None:
    id = uuid4()
    await apply(worker, view, [rental(id, 1, reason="first")])

    await apply(worker, view, [rental(id, 1, reason="again", modified_at=NOON + timedelta(days=1))])

    (line,) = (await entry(view, id)).timeline
    assert line.reason == "first"


async def test_instants_keep_their_microseconds_and_mean_the_same_moment(view: ViewDatabase) -> None:
    id = uuid4()

    await apply(worker, view, [rental(id, 1, pickup_until=NOON)])

    assert (await entry(view, id)).pickup_until == NOON.astimezone(UTC)


async def test_text_of_any_script_is_stored_unchanged(view: ViewDatabase) -> None:
    id, video_id = uuid4(), uuid4()
    title = "기생충 — 'Parasite' \\ \"寄生虫\" 🎬 %s :x"
    video = {"daily_price": 1, "copies": 1, "status": VideoStatus.AVAILABLE, "registered_by": "lee"}
    at = {"created_at": NOON, "modified_at": NOON}

    await apply(worker, view, [rental(id, 1, video_id=video_id)])
    await apply(worker, view, [VideoRegistered(video_id=video_id, title=title, version=1, **video, **at)])

    assert (await entry(view, id)).title == title


async def test_names_that_differ_in_case_accent_or_a_blank_are_different_members(view: ViewDatabase) -> None:
    names = ["kim", "Kim", "kím", "kim "]

    await apply(worker, view, [rental(uuid4(), 1, member_id=name) for name in names])

    for name in names:
        found = await page(view, member_id=name)
        assert [item.member_id for item in found.items] == [name]


async def test_pages_neither_skip_nor_repeat_what_was_made_at_the_same_moment(view: ViewDatabase) -> None:
    ids = {uuid4() for _ in range(7)}
    await apply(worker, view, [rental(id, 1) for id in ids])

    seen, cursor = [], None
    while True:
        found = await page(view, limit=2, cursor=cursor)
        seen += [item.rental_id for item in found.items]
        cursor = found.next_cursor
        if cursor is None:
            break

    assert len(seen) == len(ids)
    assert set(seen) == ids


async def test_replicas_that_write_the_same_rows_at_once_end_with_the_newest(opened: Open) -> None:
    ids = [uuid4() for _ in range(10)]
    replicas = [opened() for _ in range(3)]

    async def write(view: ViewDatabase, seed: int) -> None:
        events = [rental(id, version, price=version) for id in ids for version in range(1, 11)]
        random.Random(seed).shuffle(events)
        for start in range(0, len(events), 10):
            await until_done(partial(apply, worker, view, events[start : start + 10]))

    await asyncio.gather(*(write(view, seed) for seed, view in enumerate(replicas)))

    for id in ids:
        seen = await entry(replicas[0], id)
        assert (seen.version, seen.price, len(seen.timeline)) == (10, 10, 10)


async def test_a_rebuild_does_not_begin_while_a_batch_is_being_written(opened: Open) -> None:
    """Otherwise the batch would be missing in the new generation."""
    batch, rebuilding = opened(), opened()
    async with batch.transaction() as connection:
        assert await batch.lock_generations(connection) == [1]
        begins = asyncio.create_task(_begin(rebuilding))
        assert await asyncio.wait({begins}, timeout=0.5) == (set(), {begins})

    assert await begins == 2
    async with batch.transaction() as connection:
        assert await batch.lock_generations(connection) == [1, 2]


async def until_done(change: Callable[[], Awaitable[None]]) -> None:
    """Repeat a change that the database could not make now, as the runtime of a view does."""
    for attempt in range(20):
        try:
            await change()
        except CONNECTION_ERRORS:
            assert attempt < 19
        else:
            return
