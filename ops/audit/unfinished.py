"""I1: no booking, payment or anything else under way is lost.

What is under way is told from what is lost by the step that will take it up: a payment that is VOIDING is no
discrepancy while a step of payments drives it.
"""
# ruff: noqa: S608 - statements are put together from constants of this package

from __future__ import annotations

from ops.audit.invariant import LIVE
from ops.audit.registry import OPEN_STEPS, WRITERS
from ops.audit.stores import Stores


async def i1_no_loss(stores: Stores) -> list[str]:
    """Whatever is under way has a step that will take it up, and no step waits for ever."""
    found = []
    for step in OPEN_STEPS:
        rows = await stores.rows(
            f"""
            with things as ({step.things}), steps as ({step.steps})
            select id from things where not exists (select from steps where steps.id = things.id) order by id""",
            step.topic,
        )
        found += [step.sentence.format(row["id"]) for row in rows]
    for context, schema in WRITERS.items():
        rows = await stores.rows(f"""
            select topic, id from <{schema}.inbox> where {LIVE} and due_at < now() - interval '1 minute'
            order by due_at""")
        found += [f"{context} has not taken up {row['topic']} {row['id']}, which is long due" for row in rows]
    return found
