"""Creates the database roles: one for each context, which owns its schema only, and a reader of all schemas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from ops.accounts.files import OPERATOR, Credentials, Folder

LOCK = 0x59_65_79_61_6B
"""The advisory lock that serialises changes of roles and grants."""

CREATE_ROLE = """
    select case when exists (select from pg_roles where rolname = $1)
      then format('alter role %I login password %L', $1::text, $2::text)
      else format('create role %I login password %L', $1::text, $2::text) end"""
GRANT_MEMBERSHIP = """
    select case when rolsuper then '' else format('grant %I to current_user', $1::text) end
      from pg_roles where rolname = current_user"""
GRANT_CONNECT = "select format('grant connect on database %I to %I', current_database(), $1::text)"
GRANT_TEMPORARY = "select format('grant temporary on database %I to %I', current_database(), $1::text)"
REVOKE_PUBLIC = """
    select format('revoke connect, temporary on database %I from public; revoke create on schema public from public',
      current_database())"""
CREATE_SCHEMA = """
    select case when to_regnamespace(quote_ident($1)) is null
      then format('create schema %I authorization %I', $1::text, $2::text)
      else format('alter schema %I owner to %I', $1::text, $2::text) end"""
TAKE_OWNERSHIP = """
    with owner as (select oid from pg_roles where rolname = $2),
      place as (select oid from pg_namespace where nspname = $1)
    select coalesce(string_agg(command, ';'), '') from (
      select format('alter table %s owner to %I', c.oid::regclass, $2::text) as command from pg_class c, owner, place
        where c.relnamespace = place.oid and c.relkind in ('r', 'p', 'v', 'm') and c.relowner <> owner.oid
      union all
      select format('alter function %s owner to %I', p.oid::regprocedure, $2::text) from pg_proc p, owner, place
        where p.pronamespace = place.oid and p.proowner <> owner.oid) as commands"""
GRANT_READ = """
    select format('grant usage on schema %1$I to %3$I; grant select on all tables in schema %1$I to %3$I;
      alter default privileges for role %2$I in schema %1$I grant select on tables to %3$I',
      $1::text, $2::text, $3::text)"""


class Roles:
    """The roles of one database, changed in one transaction."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def create_role(self, role: Credentials) -> None:
        """Create a role that may connect to this database."""
        await self._execute(CREATE_ROLE, role.user, role.password)
        await self._execute(GRANT_MEMBERSHIP, role.user)
        await self._execute(GRANT_CONNECT, role.user)

    async def create_reader(self, role: Credentials) -> None:
        """Create a role that may also create temporary tables, which the audit needs."""
        await self.create_role(role)
        await self._execute(GRANT_TEMPORARY, role.user)

    async def revoke_public_access(self) -> None:
        """Revoke from `public` the rights to connect and to create tables in the schema `public`."""
        await self._execute(REVOKE_PUBLIC)

    async def give_schema(self, schema: str, owner: str, reader: str | None) -> None:
        """Make the owner own the schema and everything in it; the reader may read all of it, now and later."""
        await self._execute(CREATE_SCHEMA, schema, owner)
        await self._execute(TAKE_OWNERSHIP, schema, owner)
        if reader:
            await self._execute(GRANT_READ, schema, owner, reader)

    async def _execute(self, command: str, *names: str) -> None:
        statement = await self._connection.fetchval(command, *names)
        if statement:
            await self._connection.execute(statement)


@asynccontextmanager
async def changing(url: str) -> AsyncIterator[Roles]:
    """Change roles of a database in one transaction, with an administrator's URL; raises asyncpg's errors."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
            yield Roles(connection)
    finally:
        await connection.close()


async def apply(url: str, contexts: list[str], folder: Folder) -> int:
    """Create the roles of the contexts whose schemas are in a database, if they have an account; returns how many."""
    reader = folder.database_role(OPERATOR)
    owners = {context: role for context in contexts if (role := folder.database_role(context))}
    async with changing(url) as roles:
        if reader:
            await roles.create_reader(reader)
        for context, role in owners.items():
            await roles.create_role(role)
            await roles.give_schema(context.replace(".", "_"), role.user, reader.user if reader else None)
        if owners:
            await roles.revoke_public_access()
    return len(owners)
