"""Accounts as the database knows them: a role that owns its schema and sees no other, and one that reads them all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from ops.accounts.files import OPERATOR, Credentials, Folder

LOCK = 0x59_65_79_61_6B
"""Whoever changes roles and grants of a database does it alone."""

ROLE = """
    select case when exists (select from pg_roles where rolname = $1)
      then format('alter role %I login password %L', $1::text, $2::text)
      else format('create role %I login password %L', $1::text, $2::text) end"""
JOIN = """
    select case when rolsuper then '' else format('grant %I to current_user', $1::text) end
      from pg_roles where rolname = current_user"""
ENTER = "select format('grant connect on database %I to %I', current_database(), $1::text)"
KEEP_NOTES = "select format('grant temporary on database %I to %I', current_database(), $1::text)"
CLOSE = """
    select format('revoke connect, temporary on database %I from public; revoke create on schema public from public',
      current_database())"""
SCHEMA = """
    select case when to_regnamespace(quote_ident($1)) is null
      then format('create schema %I authorization %I', $1::text, $2::text)
      else format('alter schema %I owner to %I', $1::text, $2::text) end"""
TAKE_OVER = """
    with owner as (select oid from pg_roles where rolname = $2),
      place as (select oid from pg_namespace where nspname = $1)
    select coalesce(string_agg(command, ';'), '') from (
      select format('alter table %s owner to %I', c.oid::regclass, $2::text) as command from pg_class c, owner, place
        where c.relnamespace = place.oid and c.relkind in ('r', 'p', 'v', 'm') and c.relowner <> owner.oid
      union all
      select format('alter function %s owner to %I', p.oid::regprocedure, $2::text) from pg_proc p, owner, place
        where p.pronamespace = place.oid and p.proowner <> owner.oid) as commands"""
LET_READ = """
    select format('grant usage on schema %1$I to %3$I; grant select on all tables in schema %1$I to %3$I;
      alter default privileges for role %2$I in schema %1$I grant select on tables to %3$I',
      $1::text, $2::text, $3::text)"""


class Roles:
    """The roles of one database, changed in one transaction."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def admit(self, role: Credentials) -> None:
        """A role that may sign in to this database, and nothing more."""
        await self._do(ROLE, role.user, role.password)
        await self._do(JOIN, role.user)
        await self._do(ENTER, role.user)

    async def admit_reader(self, role: Credentials) -> None:
        """A role that may also keep temporary tables: the audit compares what it read with their help."""
        await self.admit(role)
        await self._do(KEEP_NOTES, role.user)

    async def close_to_others(self) -> None:
        """Nobody enters, or creates anything in `public`, for being a role of the server."""
        await self._do(CLOSE)

    async def give_schema(self, schema: str, owner: str, reader: str | None) -> None:
        """The schema and all that is in it belong to its context; the reader may read it, now and later."""
        await self._do(SCHEMA, schema, owner)
        await self._do(TAKE_OVER, schema, owner)
        if reader:
            await self._do(LET_READ, schema, owner, reader)

    async def _do(self, command: str, *names: str) -> None:
        made = await self._connection.fetchval(command, *names)
        if made:
            await self._connection.execute(made)


@asynccontextmanager
async def changing(url: str) -> AsyncIterator[Roles]:
    """Roles of a database, by an administrator's URL; raises what asyncpg raises."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
            yield Roles(connection)
    finally:
        await connection.close()


async def apply(url: str, contexts: list[str], folder: Folder) -> int:
    """Make the roles of the contexts whose schemas are in a database; returns how many. Those without files stay."""
    reader = folder.database_role(OPERATOR)
    owners = {context: role for context in contexts if (role := folder.database_role(context))}
    async with changing(url) as roles:
        if reader:
            await roles.admit_reader(reader)
        for context, role in owners.items():
            await roles.admit(role)
            await roles.give_schema(context.replace(".", "_"), role.user, reader.user if reader else None)
        if owners:
            await roles.close_to_others()
    return len(owners)
