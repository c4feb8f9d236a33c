"""Which holder (a ride, a reservation) holds which thing (a bike, a ticket): HELD -> CONFIRMED -> RELEASED.

A holder has one row, which is never deleted: RELEASED is final, and as a tombstone it refuses a hold that comes later.
The statement that takes the thing belongs to its context; it inserts the row, and nothing if there is one.
"""

from __future__ import annotations

from uuid import UUID

from storage.database import Row, Session, Statement


class Holds:
    """A table of holds with the columns `holder` (its key), `thing`, `status` and `version`."""

    def __init__(self, table: str, holder: str, thing: str) -> None:
        self._release = Statement(f"""
            insert into {table} as existing ({holder}, {thing}, status) values (:holder, :thing, 'RELEASED')
            on conflict ({holder}) do update set status = 'RELEASED',
              version = existing.version + (existing.status <> 'RELEASED')::int
            returning version""")  # noqa: S608 - constants
        self._confirm = Statement(f"""
            update {table} set status = 'CONFIRMED', version = version + 1
            where {holder} = :holder and status = 'HELD'""")  # noqa: S608 - constants
        self._unconfirmed = Statement(f"""
            select * from {table} where {holder} = :holder and status = 'HELD'""")  # noqa: S608 - constants

    async def release(self, session: Session, holder: UUID, thing: UUID) -> int:
        """Release a hold for good, or write the tombstone; returns the version of the hold. Lock the thing before."""
        version: int = await session.value(self._release, holder=holder, thing=thing)
        return version

    async def confirm(self, session: Session, holder: UUID) -> None:
        """Confirm a hold; changes nothing if it was released."""
        await session.one(self._confirm, holder=holder)

    async def unconfirmed(self, session: Session, holder: UUID) -> Row | None:
        """A hold that is neither confirmed nor released; else None."""
        return await session.one(self._unconfirmed, holder=holder)
