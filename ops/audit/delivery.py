"""I5 to I8: every published message reached each reader once and in order, and readers agree with writers."""
# ruff: noqa: S608 - statements are put together from constants of this package

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

from ops.audit.invariant import Publication, TableComparison, current
from ops.audit.registry import COMPARISONS, PUBLICATIONS, REPUBLISHED, VIEWS
from ops.audit.stores import DERIVED, NotCheckableError, Row, Stores
from ops.stack.local import REPOSITORY


def _comparisons(stores: Stores) -> list[TableComparison]:
    """The comparisons with readers that run."""
    return [comparison for comparison in COMPARISONS if comparison.context not in stores.without]


for comparison in COMPARISONS:
    left, right = (", ".join(f"{side}.{name}" for name in comparison.columns) for side in "wr")
    differ = ", ".join(f"case when w.{name} is distinct from r.{name} then '{name}' end" for name in comparison.columns)
    DERIVED[comparison.name] = (
        "id uuid, written integer, received integer, columns text[]",
        f"""
        with w as (select * from <{comparison.writer}> where {comparison.published}),
        r as (select * from <{comparison.reader}> where {comparison.visible})
        select coalesce(w.{comparison.key}, r.{comparison.key}), w.version, r.version,
          array_remove(array[{differ}], null)
        from w full join r on r.{comparison.key} = w.{comparison.key}
        where w.version is distinct from r.version or ({left}) is distinct from ({right})""",
    )

# The versions of each thing that are in a view's timeline, as a bit set; versions above 61 share one bit.
DERIVED["received"] = (
    "view text, subject uuid, times bigint, versions bigint, last integer",
    " union all ".join(
        f"""
    select '{view}', subject, count(*), bit_or(1::bigint << least(version, 61)), max(version)
    from <{view}.timeline> where {current(view)} group by subject"""
        for view in VIEWS
    ),
)
DERIVED["written"] = ("topic text, events bigint", "select topic, count(*) from <journal.events> group by topic")


# -- I5


async def i5_nothing_lost(stores: Stores) -> list[str]:
    """Check that every reader has each writer's (id, version), and nothing that its writer does not have."""
    found = []
    for comparison in _comparisons(stores):
        rows = await stores.rows(
            f"select * from <audit.{comparison.name}> where written is distinct from received order by id"
        )
        found += [_difference(comparison, row) for row in rows]
    if "journal" not in stores.without:
        for publication in PUBLICATIONS:
            found += await _not_in_the_journal(stores, publication)
    return found


def _difference(comparison: TableComparison, row: Row) -> str:
    thing = f"{comparison.what} {row['id']}"
    if row["received"] is None:
        return f"{comparison.reader_name} has not received {thing}, version {row['written']}"
    if row["written"] is None:
        return f"{comparison.reader_name} has {thing}, which its writer does not have"
    return f"{comparison.reader_name} has version {row['received']} of {thing}, its writer version {row['written']}"


# Reading all bodies is slow, so they are read only if there are not as many events as versions.
COUNTED = """
    select coalesce(sum(version - {silent}), 0) as versions,
      (select coalesce(sum(events), 0) from <audit.written> where topic = any($1::text[])) as events
    from <{writer}>"""
VERSIONS_MISSING = """
    with published as materialized (
      select thing, (e.body::json ->> 'version')::int as version
      from <journal.events> e cross join unnest(e.things) thing where e.topic = any($1::text[])),
    tallies as (
      select {key} as id, w.version - {silent} as written, count(distinct published.version) as recorded,
        max(published.version) - {silent} as last
      from <{writer}> w left join published on published.thing = w.{key} group by 1, 2)
    select id, written, recorded, last from tallies where recorded <> written or last <> written order by id"""
WRITER_UNKNOWN = """
    select e.things, e.message_id, e.topic from <journal.events> e where e.topic = any($1::text[])
      and not exists (select from <{writer}> w where w.{key} = any(e.things)) order by e.message_id"""


async def _not_in_the_journal(stores: Stores, publication: Publication) -> list[str]:
    """Check that the journal has an event for each version, and none of a thing that its writer does not have."""
    what, writer, key, topics = publication.what, publication.writer, publication.key, list(publication.topics)

    async def rows(statement: str) -> list[Row]:
        statement = statement.replace("{key}", key).replace("{writer}", writer)
        return await stores.rows(statement.replace("{silent}", str(publication.silent)), topics)

    totals = (await rows(COUNTED))[0]
    if totals["versions"] == totals["events"]:
        return []
    found = [
        f"the journal has {row['recorded']} of {row['written']} versions of {what} {row['id']}"
        for row in await rows(VERSIONS_MISSING)
    ]
    return found + [
        f"the journal has {row['topic']} {row['message_id']}, of a {what} that its writer does not have"
        for row in await rows(WRITER_UNKNOWN)
    ]


# -- I6


async def i6_effect_once(stores: Stores) -> list[str]:
    """Check that each refund, log line and ledger entry was made once, and each version published by one event."""
    found = [
        f"refund {row['id']} of {row['ours'] or 0} won is {row['status'] or 'not recorded to payments'}, "
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
    found += await _published_twice(stores)
    try:
        return found + await _refund_log(stores)
    except OSError as error:
        raise NotCheckableError(f"the refund log cannot be read ({error})", found) from error


async def _published_twice(stores: Stores) -> list[str]:
    """Find versions that two events published; a compensation may re-publish a version, see `republished`."""
    rows: list[Row] = []
    once = " ".join(
        f"and not exists (select from <{table}> again where again.{key} = subject)"
        for table, key in REPUBLISHED.items()
    )
    for view in VIEWS:
        rows += await stores.rows(f"""
            select subject, t.version, string_agg(what, ', ' order by what) as events
            from <audit.received> join <{view}.timeline> t using (subject)
            where view = '{view}' and times > bit_count(versions::bit(64)) and last < 61 and {current(view)} {once}
            group by subject, t.version having count(*) > 1 order by subject, t.version""")
    return [f"version {row['version']} of {row['subject']} was published by {row['events']}" for row in rows]


async def _refund_log(stores: Stores) -> list[str]:
    """Check that each refund whose row says that it was logged has one line in the refund log."""
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
    """Check that a view shows the last version that it received, and received every version before it."""
    found = []
    for comparison in _comparisons(stores):
        if comparison.schema not in VIEWS:
            continue
        rows = await stores.rows(f"""
            select {comparison.key} as id, version, coalesce(bit_count(versions::bit(64)), 0) as versions,
              coalesce(last, 0) as last
            from <{comparison.reader}>
            left join <audit.received> on subject = {comparison.key} and view = '{comparison.schema}'
            where {comparison.visible} and (last is distinct from version
              or versions <> (1::bigint << (least(version, 61) + 1)) - 2) order by 1""")
        found += [_out_of_order(comparison, row) for row in rows]
    return found


def _out_of_order(comparison: TableComparison, row: Row) -> str:
    shown = f"{comparison.reader_name} shows version {row['version']} of {comparison.what} {row['id']}"
    if row["last"] > row["version"]:
        return f"{shown}, and has received version {row['last']}"
    return f"{shown}, and its timeline has {row['versions']} versions"


# -- I8


async def i8_views_equal_writers(stores: Stores) -> list[str]:
    """Check that at the same version a reader's columns equal the writer's."""
    found = []
    for comparison in _comparisons(stores):
        rows = await stores.rows(f"select * from <audit.{comparison.name}> where written = received order by id")
        found += [
            f"{comparison.what} {row['id']}: {comparison.reader_name} does not have the "
            f"{', '.join(row['columns'])} of its writer"
            for row in rows
        ]
    return found
