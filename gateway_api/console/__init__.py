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
from gateway_api.console.ended_sessions import EndedSessions
from gateway_api.console.home_pages import HomePages
from gateway_api.console.live import LiveUpdates
from gateway_api.console.oidc import Oidc
from gateway_api.console.operations_pages import OperationsPages
from gateway_api.console.site import Site
from gateway_api.gateway import Gateway
from gateway_api.settings import GatewaySettings
from workers.runtime.messaging.broker import Broker

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
    """Updates open pages."""
    ended_sessions: EndedSessions
    """Hears of sessions that end on other gateways."""
    not_found: Callable[[Request], Awaitable[Response]]
    """Responds with a page to a path that does not exist."""

    def start(self) -> None:
        """Begin to read what other gateways say."""
        self.ended_sessions.start()

    async def stop(self) -> None:
        """Stop reading events and what other gateways say."""
        await self.live.stop()
        await self.ended_sessions.stop()


def add_to(
    app: Starlette,
    gateway: Gateway,
    settings: GatewaySettings,
    *,
    is_closing: Callable[[], bool],
    breakers: Callable[[], dict[str, str]],
    broker: Broker | None = None,
) -> Console:
    """Add the pages of the console.

    `is_closing` tells whether the gateway shuts down; `breakers` returns the states of its circuit breakers. `broker`
    tells other gateways of sessions that end; without one they end on this gateway only.
    """
    live = LiveUpdates(settings.amqp_url.get_secret_value())
    ended = EndedSessions(broker, settings.amqp_url.get_secret_value())
    site = Site(app, gateway, settings, live, ended)
    HomePages(site, BusinessPages(site), is_closing)
    OperationsPages(site, breakers)
    if settings.oidc_issuer is not None:
        Oidc(site, settings)
    app.mount("/assets", Assets(directory=ASSETS), name="assets")
    return Console(live, ended, site.not_found)
