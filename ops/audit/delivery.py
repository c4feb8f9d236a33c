"""I5 to I8: what was said reached every reader once, in order, and left there what the writer has."""
# ruff: noqa: S608 - statements are put together from constants of this package

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

from ops.audit.invariant import Copy, Telling, current
from ops.audit.registry import COPIES, RETOLD, TELLING, VIEWS
from ops.audit.stores import DERIVED, NotCheckableError, Row, Stores
from ops.stack.local import REPOSITORY


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

# Which versions of each thing are in a view's timeline, as bits; those above 61 share one.
DERIVED["heard"] = (
    "view text, subject uuid, times bigint, versions bigint, last integer",
    " union all ".join(
        f"""
    select '{view}', subject, count(*), bit_or(1::bigint << least(version, 61)), max(version)
    from <{view}.timeline> where {current(view)} group by subject"""
        for view in VIEWS
    ),
)
DERIVED["said"] = ("topic text, events bigint", "select topic, count(*) from <journal.events> group by topic")


# -- I5


async def i5_nothing_lost(stores: Stores) -> list[str]:
    """Every reader has each writer's (id, version), and nobody heard what was never said."""
    found = []
    for copy in _read(stores):
        rows = await stores.rows(f"select * from <audit.{copy.name}> where said is distinct from heard order by id")
        found += [_unheard(copy, row) for row in rows]
    if "journal" not in stores.without:
        for telling in TELLING:
            found += await _not_in_the_journal(stores, telling)
    return found


def _unheard(copy: Copy, row: Row) -> str:
    thing = f"{copy.what} {row['id']}"
    if row["heard"] is None:
        return f"{copy.reading} has not heard of {thing}, version {row['said']}"
    if row["said"] is None:
        return f"{copy.reading} has {thing}, which its writer does not know"
    return f"{copy.reading} has version {row['heard']} of {thing}, its writer version {row['said']}"


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


async def _not_in_the_journal(stores: Stores, telling: Telling) -> list[str]:
    """The journal has an event for each version, of nothing but what is there."""
    what, writer, key, topics = telling.what, telling.writer, telling.key, list(telling.topics)

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
    found += await _told_twice(stores)
    try:
        return found + await _refund_log(stores)
    except OSError as error:
        raise NotCheckableError(f"the refund log cannot be read ({error})", found) from error


async def _told_twice(stores: Stores) -> list[str]:
    """Two events of one version, but of things whose state is told again when what is undone is to be undone."""
    rows: list[Row] = []
    once = " ".join(
        f"and not exists (select from <{table}> again where again.{key} = subject)" for table, key in RETOLD.items()
    )
    for view in VIEWS:
        rows += await stores.rows(f"""
            select subject, t.version, string_agg(what, ', ' order by what) as events
            from <audit.heard> join <{view}.timeline> t using (subject)
            where view = '{view}' and times > bit_count(versions::bit(64)) and last < 61 and {current(view)} {once}
            group by subject, t.version having count(*) > 1 order by subject, t.version""")
    return [f"version {row['version']} of {row['subject']} was told by {row['events']}" for row in rows]


async def _refund_log(stores: Stores) -> list[str]:
    """Each refund that is through has one line, once its writer has said so."""
    rows = await stores.rows("""
        select refund_id::text as id from <payments.refunds>
        where status = 'REFUNDED' and amount > 0 and logged_at is not null order by 1""")
    if not rows:
        return []
    path = REPOSITORY / stores.settings.payments_refund_log  # where the system's processes run
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
        if copy.schema not in VIEWS:
            continue
        rows = await stores.rows(f"""
            select {copy.key} as id, version, coalesce(bit_count(versions::bit(64)), 0) as versions,
              coalesce(last, 0) as last
            from <{copy.reader}> left join <audit.heard> on subject = {copy.key} and view = '{copy.schema}'
            where {copy.generation} and (last is distinct from version
              or versions <> (1::bigint << (least(version, 61) + 1)) - 2) order by 1""")
        found += [_out_of_order(copy, row) for row in rows]
    return found


def _out_of_order(copy: Copy, row: Row) -> str:
    shown = f"{copy.reading} shows version {row['version']} of {copy.what} {row['id']}"
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
    return found
