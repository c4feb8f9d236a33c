"""The console: a web interface for customers, staff and operators.

Its pages call the routes of the API inside this process with the visitor's own token, so that the checks of the API
hold for the console too.
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
from gateway_api.console.live import LiveUpdates
from gateway_api.console.oidc import Oidc
from gateway_api.console.operations_pages import OperationsPages
from gateway_api.console.site import Site
from gateway_api.gateway import Gateway
from gateway_api.settings import GatewaySettings

ASSETS = Path(__file__).parent / "static"


class Assets(StaticFiles):
    """Static files that browsers revalidate by ETag, so that pages and scripts of two versions do not mix."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["cache-control"] = "no-cache"
        return response


@dataclass(frozen=True, slots=True)
class Console:
    """The parts of the console that the application uses."""

    live: LiveUpdates
    """Updates open pages; the application stops it."""
    not_found: Callable[[Request], Awaitable[Response]]
    """Responds with a page to a path that does not exist."""


def add_to(
    app: Starlette,
    gateway: Gateway,
    settings: GatewaySettings,
    *,
    is_closing: Callable[[], bool],
    breakers: Callable[[], dict[str, str]],
) -> Console:
    """Add the pages of the console.

    `is_closing` tells whether the gateway shuts down; `breakers` returns the states of its circuit breakers.
    """
    live = LiveUpdates(settings.amqp_url.get_secret_value())
    site = Site(app, gateway, settings, live)
    HomePages(site, BusinessPages(site), is_closing)
    OperationsPages(site, breakers)
    if settings.oidc_issuer is not None:
        Oidc(site, settings)
    app.mount("/assets", Assets(directory=ASSETS), name="assets")
    return Console(live, site.not_found)
