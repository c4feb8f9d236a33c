"""The console: the system in a browser, for customers, staff and operators.

Every page asks the API's own routes, inside this process, with the visitor's own token: there is no second way in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from gateway_api.console.business_pages import BusinessPages
from gateway_api.console.home_pages import HomePages
from gateway_api.console.live import Live
from gateway_api.console.oidc import Oidc
from gateway_api.console.operations_pages import OperationsPages
from gateway_api.console.site import Site
from gateway_api.gateway import Gateway
from workers.runtime.settings import Settings

ASSETS = Path(__file__).parent / "static"


class Assets(StaticFiles):
    """Asked for again with each page, by their hashes: pages and scripts of two versions do not meet."""

    def file_response(self, *args: Any, **more: Any) -> Response:
        response = super().file_response(*args, **more)
        response.headers["cache-control"] = "no-cache"
        return response


@dataclass(frozen=True, slots=True)
class Console:
    """What the gateway needs of it."""

    live: Live
    """Keeps open pages up to date; to be stopped."""
    lost: Callable[[Request], Awaitable[Response]]
    """A page for a path that leads nowhere."""


def add_to(
    app: Starlette,
    door: Gateway,
    settings: Settings,
    *,
    is_over: Callable[[], bool],
    breakers: Callable[[], dict[str, str]],
) -> Console:
    """Add the console's pages. `is_over`: the gateway is closing."""
    live = Live(settings.amqp_url.get_secret_value())
    desk = Site(app, door, settings, live)
    HomePages(desk, BusinessPages(desk), is_over)
    OperationsPages(desk, breakers)
    if settings.oidc_issuer is not None:
        Oidc(desk, settings)
    app.mount("/assets", Assets(directory=ASSETS), name="assets")
    return Console(live, desk.lost)
