"""What every page goes through: who is it, may they, is the form from here; then a page, or where to go next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from contracts.base import Role
from gateway_api import bodies
from gateway_api.console import problems
from gateway_api.console.internal_api import Api, ApiResponse
from gateway_api.console.live import Live
from gateway_api.console.problems import ProblemWords
from gateway_api.console.render import HEADERS, Renderer
from gateway_api.console.session import Sessions, Visitor
from gateway_api.console.words import Text
from gateway_api.gateway import Gateway
from gateway_api.language import Language
from gateway_api.problems import Problem
from workers.runtime.settings import Settings

log = structlog.get_logger()

MOST_FIELDS = 60
KEPT = ("after", "id", "status")
"""What of a query says which part of a list, or which story, a page shows; the rest tells of the last step only."""
GONE = (401, 403, 404)
"""Answers after which a page that stands open is not this visitor's any more."""


@dataclass(frozen=True, slots=True)
class PageContext:
    """A request of a visitor, and what a form of it said."""

    request: Request
    visitor: Visitor
    given: dict[str, str]

    @property
    def path(self) -> str:
        return quote(self.request.scope["path"], safe="/:@!$&'()*+,;=")

    @property
    def here(self) -> str:
        """Where this page is, to be drawn anew or to come back to."""
        kept = {name: value for name in KEPT if (value := self.asked(name))}
        return f"{self.path}?{urlencode(kept)}" if kept else self.path

    @property
    def is_part(self) -> bool:
        """A page that stands open asks for its live part anew."""
        return self.request.headers.get("hx-request") == "true"

    @property
    def role(self) -> Role | None:
        return self.visitor.caller.role if self.visitor.caller else None

    @property
    def language(self) -> Language:
        return self.visitor.language

    def asked(self, name: str) -> str:
        """A value of the query."""
        return self.request.query_params.get(name, "")

    def part(self, name: str) -> str:
        """A part of the path, as it may be put into another."""
        return quote(str(self.request.path_params[name]), safe="")


Handler = Callable[[PageContext], Awaitable[Response]]


class Site:
    """What all rooms of the console share."""

    def __init__(self, app: Starlette, door: Gateway, settings: Settings, live: Live) -> None:
        self.app = app
        self.door = door
        self.settings = settings
        self.live = live
        self.sessions = Sessions(door, settings)
        self.local = settings.oidc_issuer is None and door.verifier.published is None
        """A local run: one may choose who to be."""
        self.renderer = Renderer(self.sessions, local=self.local, issuer=settings.oidc_issuer is not None)
        self.api = Api(app)
        self.said: dict[str, Text] = {}
        """What a page says of the step that led to it, by the query's `done`."""

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
        page = PageContext(request, await self.sessions.visitor(request), {})
        try:
            if request.method == "POST":
                page.given.update(await self._form(request))
        except ClientDisconnect:
            return Response(status_code=400)
        except (Problem, ValueError) as error:
            status = error.status if isinstance(error, Problem) else 422
            return self.problem(page, problems.not_read(page.language, too_large=status == 413), status)
        try:
            return self._refused(page, roles) or await handler(page)
        except Exception:
            log.exception("a page failed", page=handler.__qualname__)
            return self.problem(page, problems.told(ApiResponse(500), page.language), 500)

    def _refused(self, page: PageContext, roles: frozenset[Role] | None) -> Response | None:
        """Why a visitor may not come in, or a form is not taken."""
        signed_in = page.visitor.caller is not None
        if page.request.method == "POST":
            ours = self.sessions.is_from_here(page.visitor, page.given.pop("csrf", ""))
            if not ours and roles is not None and not signed_in:
                return self.problem(page, problems.session_over(page.language, self._sign_in(page)), 401)
            if not ours or page.request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
                return self.problem(page, problems.too_old(page.language), 403)
        if roles is not None and not signed_in:
            return self.to_sign_in(page)
        if roles is not None and page.role not in roles:
            return self.problem(page, problems.wrong_role(page.language), 403)
        return None

    async def lost(self, request: Request) -> Response:
        """A page for a path that leads nowhere."""
        page = PageContext(request, await self.sessions.visitor(request), {})
        return self.problem(page, problems.nothing_here(page.language), 404)

    async def _form(self, request: Request) -> dict[str, str]:
        length = request.headers.get("content-length", "").encode() or None
        body = await bodies.receive_body(request.receive, length, self.settings.gateway_body_limit)
        text = body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))

    def page(self, page: PageContext, template: str, status: int = 200, **more: Any) -> Response:
        done = self.said.get(page.asked("done")) if not more.get("problem") else None
        more = {"problem": None, "done": done, "triggers": "", "here": page.here, **more}
        return self.renderer.page(
            page.visitor, template, path=page.path, status=status, since=self.live.position, **more
        )

    def problem(self, page: PageContext, told: ProblemWords, status: int) -> Response:
        """A page that says why there is nothing else to show."""
        response = self.page(page, "problem.html", status, problem=told)
        if page.is_part and status in GONE:
            response.headers["hx-refresh"] = "true"
        return response

    def go(self, place: str) -> Response:
        """303: see there."""
        return RedirectResponse(place, 303, HEADERS)

    def to_sign_in(self, page: PageContext) -> Response:
        """To the sign-in page, and back afterwards; a part of a page is drawn anew with the whole page."""
        if page.is_part:
            return Response(status_code=401, headers={**HEADERS, "hx-refresh": "true"})
        return self.go(self._sign_in(page))

    def _sign_in(self, page: PageContext) -> str:
        """Where to sign in, and come back: each form has a page of its own at the place that it is sent to."""
        return f"/sign-in?next={quote(page.here, safe='/')}"


def place_here(place: str, otherwise: str) -> str:
    """A place of this site, never of another one."""
    inside = place.startswith("/") and not place.startswith(("//", "/\\")) and place.isprintable()
    return place if inside and "\\" not in place else otherwise
