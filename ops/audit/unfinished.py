"""I1: no booking, payment or other unfinished thing is lost.

What has an inbox step that will finish it is unfinished, not lost: a payment that is VOIDING is no discrepancy while a
step of payments drives it.
"""
# ruff: noqa: S608 - statements are put together from constants of this package

from __future__ import annotations

from ops.audit.invariant import LIVE
from ops.audit.registry import UNFINISHED, WRITERS
from ops.audit.stores import Stores


async def i1_no_loss(stores: Stores) -> list[str]:
    """Check that everything unfinished has a step that will finish it, and that no step is overdue."""
    found = []
    for check in UNFINISHED:
        rows = await stores.rows(
            f"""
            with things as ({check.unfinished}), steps as ({check.steps})
            select id from things where not exists (select from steps where steps.id = things.id) order by id""",
            check.topic,
        )
        found += [check.discrepancy.format(row["id"]) for row in rows]
    for context, schema in WRITERS.items():
        rows = await stores.rows(f"""
            select topic, id from <{schema}.inbox> where {LIVE} and due_at < now() - interval '1 minute'
            order by due_at""")
        found += [f"{context} has not processed {row['topic']} {row['id']}, which is overdue" for row in rows]
    return found
