"""I5 to I8: what was said reached every reader once, in order, and left there what the writer has."""
# ruff: noqa: S608 - statements are put together from constants of this package

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.payments import PaymentEvent, RefundEvent
from contracts.preorder.products import ProductChanged, ProductRegistered, ProductState
from contracts.preorder.receipts import ReceiptEvent
from contracts.preorder.reservations import ReservationEvent
from contracts.video_rental.rentals import RentalEvent
from contracts.video_rental.videos import VideoChanged, VideoRegistered, VideoState
from ops.audit import preorder
from ops.audit.stores import CONTEXT_OF, DERIVED, NotCheckableError, Row, Stores
from ops.stack.local import REPOSITORY
from storage.preorder import my_reservations
from storage.video_rental import my_page

CURRENT = "generation = (select current from <video_rental_my_page.generations>)"


@dataclass(frozen=True)
class Copy:
    """A writer's table, and what a reader keeps of it."""

    what: str
    key: str
    writer: str
    reader: str
    columns: Sequence[str]
    """What both have and must agree on."""
    told: str = "true"
    """Which of the writer's rows were ever told of."""
    generation: str = "true"

    @property
    def context(self) -> str:
        """The context that reads."""
        return CONTEXT_OF[self.reader.partition(".")[0]]

    @property
    def reading(self) -> str:
        """Its short name."""
        return self.context.rpartition(".")[2]

    @property
    def name(self) -> str:
        return f"{self.what}_at_{self.reading}"


def _shown(
    table: Any, key: str, writer: str, told: str = "true", view: str = "video_rental_my_page", current: str = CURRENT
) -> Copy:
    columns = [column.name for column in table.columns if column.name not in ("generation", "version", key)]
    return Copy(key.removesuffix("_id"), key, writer, f"{view}.{table.name}", columns, told, current)


def _mine(table: Any, key: str, writer: str, told: str = "true") -> Copy:
    return _shown(table, key, writer, told, "preorder_my_reservations", preorder.CURRENT)


COPIES = (
    Copy(
        "video",
        "video_id",
        "video_rental_videos.videos",
        "video_rental_rentals.videos",
        [name for name in VideoState.model_fields if name not in ("video_id", "version")],
    ),
    _shown(my_page.videos, "video_id", "video_rental_videos.videos"),
    _shown(my_page.rentals, "rental_id", "video_rental_rentals.rentals"),
    _shown(my_page.payments, "payment_id", "payments.payments", told="version > 0"),
    _shown(my_page.refunds, "refund_id", "payments.refunds"),
    Copy(
        "product",
        "product_id",
        "preorder_products.products",
        "preorder_reservations.products",
        [name for name in ProductState.model_fields if name not in ("product_id", "version")],
    ),
    _mine(my_reservations.products, "product_id", "preorder_products.products"),
    _mine(my_reservations.reservations, "reservation_id", "preorder_reservations.reservations"),
    _mine(my_reservations.receipts, "receipt_id", "preorder_receipts.receipts"),
    _mine(my_reservations.payments, "payment_id", "payments.payments", told="version > 0"),
    _mine(my_reservations.refunds, "refund_id", "payments.refunds"),
)

TELLING: dict[str, tuple[str, str, list[str]]] = {
    "video": ("video_rental_videos.videos", "video_id", [VideoRegistered.topic, VideoChanged.topic]),
    "rental": (
        "video_rental_rentals.rentals",
        "rental_id",
        sorted(kind.topic for kind in RentalEvent.__subclasses__()),
    ),
    "payment": ("payments.payments", "payment_id", sorted(kind.topic for kind in PaymentEvent.__subclasses__())),
    "refund": ("payments.refunds", "refund_id", sorted(kind.topic for kind in RefundEvent.__subclasses__())),
    "preorder product": ("preorder_products.products", "product_id", [ProductRegistered.topic, ProductChanged.topic]),
    "preorder reservation": (
        "preorder_reservations.reservations",
        "reservation_id",
        sorted(kind.topic for kind in ReservationEvent.__subclasses__()),
    ),
    "receipt": (
        "preorder_receipts.receipts",
        "receipt_id",
        sorted(kind.topic for kind in ReceiptEvent.__subclasses__()),
    ),
}
"""The events of each aggregate, of which there is one for every version."""


def _read(stores: Stores) -> list[Copy]:
    """The copies of readers that run."""
    return [copy for copy in COPIES if copy.context not in stores.without]


for copy in COPIES:
    left, right = (", ".join(f"{side}.{name}" for name in copy.columns) for side in "wr")
    differ = ", ".join(f"case when w.{name} is distinct from r.{name} then '{name}' end" for name in copy.columns)
    DERIVED[copy.name] = (
        "id uuid, said integer, heard integer, columns text[]",
        f"""
        with w as (select * from <{copy.writer}> where {copy.told}),
        r as (select * from <{copy.reader}> where {copy.generation})
        select coalesce(w.{copy.key}, r.{copy.key}), w.version, r.version, array_remove(array[{differ}], null)
        from w full join r on r.{copy.key} = w.{copy.key}
        where w.version is distinct from r.version or ({left}) is distinct from ({right})""",
    )

# Which versions of each thing are in the timeline, as bits; those above 61 share one.
DERIVED["heard"] = (
    "subject uuid, times bigint, versions bigint, last integer",
    f"""
    select subject, count(*), bit_or(1::bigint << least(version, 61)), max(version)
    from <video_rental_my_page.timeline> where {CURRENT} group by subject""",
)
DERIVED["said"] = ("topic text, events bigint", "select topic, count(*) from <journal.events> group by topic")


# -- I5


async def i5_nothing_lost(stores: Stores) -> list[str]:
    """Every reader has each writer's (id, version), and nobody heard what was never said."""
    found = []
    for copy in _read(stores):
        rows = await stores.rows(f"select * from <audit.{copy.name}> where said is distinct from heard order by id")
        found += [_unheard(copy, row) for row in rows]
    if "payments" not in stores.without:
        found += await _never_begun(stores)
    found += await preorder.never_begun(stores)
    if "journal" not in stores.without:
        for what in TELLING:
            found += await _not_in_the_journal(stores, what)
    return found


def _unheard(copy: Copy, row: Row) -> str:
    thing = f"{copy.what} {row['id']}"
    if row["heard"] is None:
        return f"{copy.reading} has not heard of {thing}, version {row['said']}"
    if row["said"] is None:
        return f"{copy.reading} has {thing}, which its writer does not know"
    return f"{copy.reading} has version {row['heard']} of {thing}, its writer version {row['said']}"


async def _never_begun(stores: Stores) -> list[str]:
    """Commands that rentals told payments, by what they leave there."""
    refunds = await stores.rows("""
        select rental_id, refund_id from <video_rental_rentals.rentals> r where refund_id is not null
          and not exists (select from <payments.refunds> f where f.refund_id = r.refund_id) order by rental_id""")
    voids = await stores.rows("""
        select rental_id, r.payment_id from <video_rental_rentals.rentals> r
        left join <payments.payments> p on p.payment_id = r.payment_id
        where r.status = 'CANCELLED' and pickup_until is null
          and coalesce(p.status, '') not in ('VOIDING', 'VOIDED', 'DECLINED', 'REFUNDED') order by rental_id""")
    found = [f"rental {row['rental_id']}: payments has not heard of its refund {row['refund_id']}" for row in refunds]
    found += [f"rental {row['rental_id']}: payments has not voided its payment {row['payment_id']}" for row in voids]
    return found


# Reading all bodies takes long: when there are as many events as versions, nothing is missing.
SAID = """
    select coalesce(sum(version), 0) as versions,
      (select coalesce(sum(events), 0) from <audit.said> where topic = any($1::text[])) as events
    from <{writer}>"""
TOLD = """
    with told as materialized (
      select thing, (e.body::json ->> 'version')::int as version
      from <journal.events> e cross join unnest(e.things) thing where e.topic = any($1::text[])),
    tallies as (
      select {key} as id, w.version as said, count(distinct told.version) as known, count(told.version) as times,
        max(told.version) as last
      from <{writer}> w left join told on told.thing = w.{key} group by 1, 2)
    select id, said, known, last from tallies where known <> said or last <> said order by id"""
LOST = """
    select e.things, e.message_id, e.topic from <journal.events> e where e.topic = any($1::text[])
      and not exists (select from <{writer}> w where w.{key} = any(e.things)) order by e.message_id"""


async def _not_in_the_journal(stores: Stores, what: str) -> list[str]:
    """The journal has an event for each version, of nothing but what is there."""
    writer, key, topics = TELLING[what]

    async def rows(statement: str) -> list[Row]:
        return await stores.rows(statement.replace("{key}", key).replace("{writer}", writer), topics)

    totals = (await rows(SAID))[0]
    if totals["versions"] == totals["events"]:
        return []
    found = [
        f"the journal knows {row['known']} of {row['said']} versions of {what} {row['id']}" for row in await rows(TOLD)
    ]
    return found + [
        f"the journal has {row['topic']} {row['message_id']}, of a {what} that its writer does not know"
        for row in await rows(LOST)
    ]


# -- I6


async def i6_effect_once(stores: Stores) -> list[str]:
    """A refund is given back once and logged once, an entry is made once, a version is told by one event."""
    found = [
        f"refund {row['id']} of {row['ours'] or 0} won is {row['status'] or 'not known to payments'}, "
        f"and the provider gave back {row['theirs'] or 0} won"
        for row in await stores.rows("""
            select coalesce(r.refund_id, g.key) as id, r.amount as ours, r.status, g.amount as theirs
            from <payments.refunds> r full join <provider.refunds> g on g.key = r.refund_id
            where (r.refund_id is null or r.status = 'REFUNDED')
              and (coalesce(r.amount, 0) <> coalesce(g.amount, 0) or g.charge_key <> r.payment_id)
            order by 1""")
    ]
    found += [
        f"charge {row['key']}: {row['refunded']} won are refunded, its refunds are {row['given']} won"
        for row in await stores.rows("""
            select c.key, c.refunded, coalesce(g.given, 0) as given from <provider.charges> c
            left join (select charge_key as key, sum(amount) as given from <provider.refunds> group by 1) g using (key)
            where c.refunded <> coalesce(g.given, 0) order by c.key""")
    ]
    found += [
        f"{row['what']} {row['id']} has {row['entries']} entries for {row['version']} versions"
        for row in await stores.rows("""
            with things as (
              select 'payment' as what, payment_id as id, version from <payments.payments>
              union all select 'refund', refund_id, version from <payments.refunds>),
            made as (select subject_id as id, count(*) as entries from <payments.entries> group by 1)
            select what, id, version, coalesce(entries, 0) as entries from things left join made using (id)
            where version <> coalesce(entries, 0) order by 1, 2""")
    ]
    found += await _told_twice(stores) + await preorder.told_twice(stores)
    try:
        return found + await _refund_log(stores)
    except OSError as error:
        raise NotCheckableError(f"the refund log cannot be read ({error})", found) from error


async def _told_twice(stores: Stores) -> list[str]:
    """Two events of one version; payments alone tells a state again when it is asked to undo what is undone."""
    rows = await stores.rows(f"""
        select subject, t.version, string_agg(what, ', ' order by what) as events
        from <audit.heard> join <video_rental_my_page.timeline> t using (subject)
        where times > bit_count(versions::bit(64)) and last < 61 and {CURRENT}
          and not exists (select from <payments.payments> p where p.payment_id = subject)
        group by subject, t.version having count(*) > 1 order by subject, t.version""")
    return [f"version {row['version']} of {row['subject']} was told by {row['events']}" for row in rows]


async def _refund_log(stores: Stores) -> list[str]:
    """Each refund that is through has one line, once its writer has said so."""
    rows = await stores.rows("""
        select refund_id::text as id from <payments.refunds>
        where status = 'REFUNDED' and amount > 0 and logged_at is not null order by 1""")
    if not rows:
        return []
    path = REPOSITORY / stores.settings.payments_refund_log  # where the town's processes run
    tally = await asyncio.to_thread(_lines_of_refunds, path)
    found = [
        f"refund {row['id']} has {tally[row['id']]} lines in the refund log" for row in rows if tally[row["id"]] != 1
    ]
    return found + [f"a line of {path} cannot be read"] * tally[None]


def _lines_of_refunds(path: Path) -> Counter[str | None]:
    with path.open() as lines:
        return Counter(map(_refund_in, lines))


def _refund_in(line: str) -> str | None:
    try:
        return str(json.loads(line)["refund_id"])
    except (ValueError, KeyError, TypeError):
        return None


# -- I7


async def i7_order(stores: Stores) -> list[str]:
    """A view stands at the last version that it heard of, and has heard of each before it."""
    found = []
    for copy in _read(stores):
        if copy.generation != CURRENT:
            continue
        rows = await stores.rows(f"""
            select {copy.key} as id, version, coalesce(bit_count(versions::bit(64)), 0) as versions,
              coalesce(last, 0) as last
            from <{copy.reader}> left join <audit.heard> on subject = {copy.key}
            where {CURRENT} and (last is distinct from version
              or versions <> (1::bigint << (least(version, 61) + 1)) - 2) order by 1""")
        found += [_out_of_order(copy, row) for row in rows]
    return found + (await preorder.order(stores) if preorder.VIEW not in stores.without else [])


def _out_of_order(copy: Copy, row: Row) -> str:
    shown = f"my_page shows version {row['version']} of {copy.what} {row['id']}"
    if row["last"] > row["version"]:
        return f"{shown}, and has heard of version {row['last']}"
    return f"{shown}, and its timeline has {row['versions']} versions"


# -- I8


async def i8_views_equal_writers(stores: Stores) -> list[str]:
    """At the same version a reader's columns are the writer's."""
    found = []
    for copy in _read(stores):
        rows = await stores.rows(f"select * from <audit.{copy.name}> where said = heard order by id")
        found += [
            f"{copy.what} {row['id']}: {copy.reading} does not have the {', '.join(row['columns'])} of its writer"
            for row in rows
        ]
    found += [
        f"rental {row['rental_id']} has its payment as {row['noted']}, and it is {row['status']}"
        for row in await stores.rows("""
            select rental_id, r.payment_status as noted, p.status from <video_rental_rentals.rentals> r
            join <payments.payments> p using (payment_id)
            where r.status <> 'AWAITING_PAYMENT' and p.status <> 'REQUESTED'
              and (r.payment_status, r.refunded) is distinct from (p.status, p.refunded)
            order by rental_id""")
    ]
    found += [
        f"rental {row['rental_id']} has its refund as {row['noted']}, and it is {row['status']}"
        for row in await stores.rows("""
            select rental_id, r.refund_status || ' ' || r.refund_amount as noted, f.status || ' ' || f.amount as status
            from <video_rental_rentals.rentals> r join <payments.refunds> f using (refund_id)
            where (r.refund_status, r.refund_amount) is distinct from (f.status, f.amount) order by rental_id""")
    ]
    return found + await preorder.parts_equal(stores)
