"""Every place that keeps a member id holds the longest one that OpenID Connect allows."""

from __future__ import annotations

import asyncpg

from contracts.base import LONGEST_MEMBER_ID
from tests.support import servers as support
from tests.support.servers import Servers

PEOPLE = ("member_id", "registered_by", "changed_by", "created_by", "payer", "actor", "closed_by", "requested_by")


async def test_no_column_of_the_migrated_schemas_is_too_short(servers: Servers, templates: None) -> None:
    connection = await asyncpg.connect(await support.create_database(servers, "member_ids", support.TEMPLATE))
    rows = await connection.fetch(
        """select table_schema, table_name, column_name, character_maximum_length as length
           from information_schema.columns where column_name = any($1) and table_schema <> 'pg_catalog'""",
        list(PEOPLE),
    )
    await connection.close()

    assert len(rows) > 30
    assert not [dict(row) for row in rows if row["length"] is not None and row["length"] < LONGEST_MEMBER_ID]
