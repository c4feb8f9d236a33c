"""The database of a context on another server, by its URL alone."""

from __future__ import annotations

from uuid import uuid4

from pydantic import SecretStr

from ops.audit import audit
from tests.conftest import MakeSettings
from tests.support import servers as support
from tests.support.servers import Servers
from tests.support.system import System, contexts_of, customer
from workers.registry import CONTEXTS

MOVED = ("video_rental.rentals", "payments")


async def test_a_system_with_writers_on_other_databases_books_without_discrepancies(
    make_settings: MakeSettings, servers: Servers
) -> None:
    urls = {
        name: await support.create_database(servers, f"apart_{uuid4().hex[:12]}", support.TEMPLATE) for name in MOVED
    }
    settings = await make_settings(context_database_urls={name: SecretStr(url) for name, url in urls.items()})
    system = await System(settings, "video_rental").open()
    try:
        await system.start(*system.names)
        booked = await system.done(system.booking(await system.video(), customer()))
        await system.wait_until_idle()
        homes = {settings.database_of(name) for name in system.names}
        stray = await system.rows("video_rental.videos", "select 1 from video_rental_rentals.rentals")
        kept = await system.rows("video_rental.rentals", "select status from video_rental_rentals.rentals")
        found = await audit(settings, without=set(CONTEXTS) - set(contexts_of("video_rental")))
    finally:
        await system.close()

    assert booked["status"] == "BOOKED"
    assert len(homes) == 3
    assert (len(stray), [row["status"] for row in kept]) == (0, ["BOOKED"])
    assert not any(found.values()), found
