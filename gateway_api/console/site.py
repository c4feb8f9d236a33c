"""The request pipeline of every page: authenticate, check the form's CSRF token, authorise, render or redirect."""

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
from gateway_api.console import notices
from gateway_api.console.drafts import Drafts
from gateway_api.console.ended_sessions import EndedSessions
from gateway_api.console.internal_api import ApiResponse, InternalApi
from gateway_api.console.live import LiveUpdates
from gateway_api.console.local_sign_in import LocalSignIn
from gateway_api.console.notices import ProblemNotice
from gateway_api.console.render import HEADERS, Renderer
from gateway_api.console.session import Sessions, Visitor, language_of
from gateway_api.console.words import Text
from gateway_api.gateway import Gateway
from gateway_api.language import Language
from gateway_api.problems import Problem
from gateway_api.settings import GatewaySettings

log = structlog.get_logger()

MAX_FIELDS = 60
KEPT_PARAMETERS = ("after", "id", "status")
"""Query parameters that select what a page shows; all others belong to the step that led to the page."""
REFRESH_STATUSES = (401, 403, 404)
"""Statuses after which an open page is reloaded as a whole, since the visitor may no longer see it."""


@dataclass(frozen=True, slots=True)
class PageContext:
    """A request of a visitor; `form` holds the fields of a submitted form."""

    request: Request
    visitor: Visitor
    form: dict[str, str]

    @property
    def path(self) -> str:
        return quote(self.request.scope["path"], safe="/:@!$&'()*+,;=")

    @property
    def url(self) -> str:
        """The URL at which the page is reloaded, and to which forms return."""
        kept = {name: value for name in KEPT_PARAMETERS if (value := self.query(name))}
        return f"{self.path}?{urlencode(kept)}" if kept else self.path

    @property
    def is_fragment(self) -> bool:
        """Whether htmx requests the live fragment of an open page."""
        return self.request.headers.get("hx-request") == "true"

    @property
    def role(self) -> Role | None:
        return self.visitor.caller.role if self.visitor.caller else None

    @property
    def language(self) -> Language:
        return self.visitor.language

    def query(self, name: str) -> str:
        """Return a query parameter; empty when it is missing."""
        return self.request.query_params.get(name, "")

    def path_part(self, name: str) -> str:
        """Return a path parameter, quoted for use in another path."""
        return quote(str(self.request.path_params[name]), safe="")


PageHandler = Callable[[PageContext], Awaitable[Response]]


class Site:
    """What all pages of the console share."""

    def __init__(
        self,
        app: Starlette,
        gateway: Gateway,
        settings: GatewaySettings,
        live: LiveUpdates,
        ended: EndedSessions | None = None,
    ) -> None:
        self.app = app
        self.gateway = gateway
        self.settings = settings
        self.live = live
        url = settings.amqp_url.get_secret_value()
        self.ended = ended or EndedSessions(None, url)
        self.sessions = Sessions(gateway, settings, self.ended)
        self.drafts = Drafts(self.sessions)
        self._guard = LocalSignIn(settings, has_issuer=gateway.verifier.published_keys is not None)
        self.local = self._guard.is_on
        """Whether visitors choose their identity, on a local run."""
        self.renderer = Renderer(self.sessions, local=self.local, issuer=settings.oidc_issuer is not None)
        self.api = InternalApi(app)
        self.done_labels: dict[str, Text] = {}
        """Labels of completed actions, by the value of the query parameter `done`."""

    def add_page(
        self,
        method: str,
        path: str,
        handler: PageHandler,
        roles: frozenset[Role] | None = None,
    ) -> None:
        """Add a page; only `roles` may use it, None allows everybody."""

        async def endpoint(request: Request) -> Response:
            return await self._handle(request, handler, roles)

        self.app.add_route(path, endpoint, methods=[method], name=handler.__name__, include_in_schema=False)

    async def _handle(self, request: Request, handler: PageHandler, roles: frozenset[Role] | None) -> Response:
        page = await self.open(request)
        if isinstance(page, Response):
            return page
        return self.sessions.remember(await self._respond(page, handler, roles), page.visitor)

    async def open(self, request: Request) -> PageContext | Response:
        """Return a request with its visitor, or the response to one that has no place here, or cannot be judged now."""
        if not self._guard.accepts(request):
            return self._guard.refusal(language_of(request))
        try:
            return PageContext(request, await self.sessions.visitor(request), {})
        except Problem as problem:
            anonymous = PageContext(request, self.sessions.anonymous(request), {})
            response = ApiResponse(problem.status, {"code": problem.code}, is_read=request.method == "GET")
            return self.problem(anonymous, notices.problem_notice(response, anonymous.language), problem.status)

    async def _respond(self, page: PageContext, handler: PageHandler, roles: frozenset[Role] | None) -> Response:
        request = page.request
        try:
            if request.method == "POST":
                page.form.update(await self._form(request))
        except ClientDisconnect:
            return Response(status_code=400)
        except (Problem, ValueError) as error:
            status = error.status if isinstance(error, Problem) else 422
            return self.problem(page, notices.form_unreadable(page.language, too_large=status == 413), status)
        try:
            return self._refused(page, roles) or await handler(page)
        except Exception:
            log.exception("page_failed", page=handler.__qualname__)
            return self.problem(page, notices.problem_notice(ApiResponse(500), page.language), 500)

    def _refused(self, page: PageContext, roles: frozenset[Role] | None) -> Response | None:
        """Return the response that refuses a visitor or a form; None when the handler may run."""
        signed_in = page.visitor.caller is not None
        if page.request.method == "POST":
            csrf = page.form.pop("csrf", "")
            is_own_form = self.sessions.is_csrf_valid(page.visitor, csrf)
            if not is_own_form and roles is not None and not signed_in:
                return self._session_expired(page, csrf)
            if not is_own_form or page.request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
                return self.problem(page, notices.form_expired(page.language), 403)
        if roles is not None and not signed_in:
            return self.redirect_to_sign_in(page)
        if roles is not None and page.role not in roles:
            return self.problem(page, notices.wrong_role(page.language), 403)
        return None

    def _session_expired(self, page: PageContext, csrf: str) -> Response:
        """Respond to a form that was sent without a session; after sign-in it is shown again with what it said."""
        sealed = self.drafts.sealed(page, csrf)
        notice = notices.session_expired(page.language, self._sign_in_url(page), is_kept=bool(sealed))
        response = self.problem(page, notice, 401)
        if sealed:
            self.drafts.keep(response, sealed)
        return response

    async def not_found(self, request: Request) -> Response:
        """Respond with a page to a path that does not exist."""
        page = await self.open(request)
        if isinstance(page, Response):
            return page
        response = self.problem(page, notices.not_found(page.language), 404)
        return self.sessions.remember(response, page.visitor)

    async def _form(self, request: Request) -> dict[str, str]:
        length = request.headers.get("content-length", "").encode() or None
        body = await bodies.receive_body(request.receive, length, self.settings.gateway_body_limit)
        text = body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"))

    def page(self, page: PageContext, template: str, status: int = 200, **variables: Any) -> Response:
        """Render a template with `variables`."""
        done = self.done_labels.get(page.query("done")) if not variables.get("problem") else None
        variables = {"problem": None, "done": done, "triggers": "", "page_url": page.url, **variables}
        return self.renderer.page(
            page.visitor, template, path=page.path, status=status, since=self.live.position, **variables
        )

    def problem(self, page: PageContext, notice: ProblemNotice, status: int) -> Response:
        """Render a page that shows a problem and nothing else."""
        response = self.page(page, "problem.html", status, problem=notice)
        if page.is_fragment and status in REFRESH_STATUSES:
            response.headers["hx-refresh"] = "true"
        return response

    def redirect(self, url: str) -> Response:
        """Respond 303 See Other."""
        return RedirectResponse(url, 303, HEADERS)

    def redirect_to_sign_in(self, page: PageContext) -> Response:
        """Redirect to the sign-in page, which returns to this page; a fragment makes htmx reload the whole page."""
        if page.is_fragment:
            return Response(status_code=401, headers={**HEADERS, "hx-refresh": "true"})
        return self.redirect(self._sign_in_url(page))

    def _sign_in_url(self, page: PageContext) -> str:
        """Return the sign-in URL; it returns to this URL, at which every form also has a page to be read."""
        return f"/sign-in?next={quote(page.url, safe='/')}"


def local_url(url: str, default: str) -> str:
    """Return `url` if it is a path of this site, `default` otherwise: no redirect leads to another site."""
    is_path = url.startswith("/") and not url.startswith(("//", "/\\")) and url.isprintable()
    return url if is_path and "\\" not in url else default
