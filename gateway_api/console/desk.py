"""What every page goes through: who is it, may they, is the form from here; then a page, or where to go next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from contracts.base import Role
from gateway_api import bodies
from gateway_api.console import problems
from gateway_api.console.inside import Api
from gateway_api.console.live import Live
from gateway_api.console.problems import Told
from gateway_api.console.render import HEADERS, Renderer
from gateway_api.console.session import Sessions, Visitor
from gateway_api.door import Door
from gateway_api.problems import Problem
from workers.runtime.settings import Settings

MOST_FIELDS = 60


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of a visitor, and what a form of it said."""

    request: Request
    visitor: Visitor
    given: dict[str, str]

    @property
    def path(self) -> str:
        return self.request.url.path

    @property
    def role(self) -> Role | None:
        return self.visitor.caller.role if self.visitor.caller else None

    def asked(self, name: str) -> str:
        """A value of the query."""
        return self.request.query_params.get(name, "")

    def part(self, name: str) -> str:
        """A part of the path, as it may be put into another."""
        return quote(str(self.request.path_params[name]), safe="")


Handler = Callable[[Visit], Awaitable[Response]]


class Desk:
    """What all rooms of the console share."""

    def __init__(self, app: Starlette, door: Door, settings: Settings, live: Live) -> None:
        self.app = app
        self.door = door
        self.settings = settings
        self.live = live
        self.sessions = Sessions(door, settings)
        self.local = settings.oidc_issuer is None and door.verifier.published is None
        """A local run: one may choose who to be."""
        self.renderer = Renderer(self.sessions, local=self.local)
        self.api = Api(app)

    def add(
        self,
        method: str,
        path: str,
        handler: Handler,
        roles: frozenset[Role] | None = None,
    ) -> None:
        """A page; `roles` may see it, None: everybody."""

        async def enter(request: Request) -> Response:
            return await self._enter(request, handler, roles)

        self.app.add_route(path, enter, methods=[method], name=handler.__name__, include_in_schema=False)

    async def _enter(self, request: Request, handler: Handler, roles: frozenset[Role] | None) -> Response:
        visitor = await self.sessions.visitor(request)
        try:
            given = await self._form(request) if request.method == "POST" else {}
        except ClientDisconnect:
            return Response(status_code=400)
        except (Problem, ValueError):
            return self.problem(Visit(request, visitor, {}), problems.too_old(visitor.language), 422)
        visit = Visit(request, visitor, given)
        if request.method == "POST" and not self.sessions.is_from_here(visitor, given.pop("csrf", "")):
            return self.problem(visit, problems.too_old(visitor.language), 403)
        if roles is not None and visitor.caller is None:
            return self.to_sign_in(visit)
        if roles is not None and visit.role not in roles:
            return self.problem(visit, problems.wrong_role(visitor.language), 403)
        return await handler(visit)

    async def _form(self, request: Request) -> dict[str, str]:
        length = request.headers.get("content-length", "").encode() or None
        body = await bodies.receive_body(request.receive, length, self.settings.gateway_body_limit)
        text = body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))

    def page(self, visit: Visit, template: str, status: int = 200, **more: Any) -> Response:
        more = {"problem": None, "done": "", "triggers": "", **more}
        return self.renderer.page(
            visit.visitor, template, path=visit.path, status=status, since=self.live.position, **more
        )

    def problem(self, visit: Visit, told: Told, status: int) -> Response:
        """A page that says why there is nothing else to show."""
        return self.page(visit, "problem.html", status, problem=told)

    def go(self, place: str) -> Response:
        """303: see there."""
        return RedirectResponse(place, 303, HEADERS)

    def to_sign_in(self, visit: Visit) -> Response:
        """To the sign-in page, and back afterwards; a part of a page is drawn anew with the whole page."""
        if visit.request.headers.get("hx-request"):
            return Response(status_code=401, headers={**HEADERS, "hx-refresh": "true"})
        back = quote(visit.path, safe="/") if visit.request.method == "GET" else "/"
        return self.go(f"/sign-in?next={back}")


def place_here(place: str, otherwise: str) -> str:
    """A place of this site, never of another one."""
    inside = place.startswith("/") and not place.startswith(("//", "/\\")) and place.isprintable()
    return place if inside and "\\" not in place else otherwise
