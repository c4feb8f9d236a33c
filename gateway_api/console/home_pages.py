"""Pages outside the businesses: home, my records, tasks of staff, sign-in and sign-out, live updates, sample data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import cast

from starlette.requests import Request
from starlette.responses import Response

from contracts.base import Caller, Role
from gateway_api import tokens
from gateway_api.console import notices
from gateway_api.console.business_pages import BusinessPages, ItemCard, ListSection, triggers
from gateway_api.console.businesses import BUSINESSES
from gateway_api.console.live import REFRESH, EventStream
from gateway_api.console.payments import ALL
from gateway_api.console.render import HEADERS
from gateway_api.console.sample import seed
from gateway_api.console.session import Visitor
from gateway_api.console.site import PageContext, Site, local_url
from gateway_api.console.words import Text
from gateway_api.gateway import CUSTOMER, STAFF
from gateway_api.problems import Problem

PEOPLE: tuple[tuple[str, Role, str, Text], ...] = (
    ("kim", "customer", "STANDARD", Text("김 · 고객", "Kim · customer")),
    ("lee", "customer", "STANDARD", Text("이 · 고객", "Lee · customer")),
    ("park", "customer", "VIP", Text("박 · VIP 고객", "Park · VIP customer")),
    ("choi", "staff", "STANDARD", Text("최 · 직원", "Choi · staff")),
    ("jung", "operator", "STANDARD", Text("정 · 운영자", "Jung · operator")),
)
"""Identities that the sign-in page of a local run offers: subject, role, grade and label."""


class HomePages:
    """Pages that belong to no single business."""

    def __init__(self, site: Site, business_pages: BusinessPages, is_closing: Callable[[], bool]) -> None:
        self.site = site
        self.business_pages = business_pages
        self._is_over = is_closing
        site.add_page("GET", "/", self.home)
        site.add_page("GET", "/mine", self.mine, CUSTOMER)
        site.add_page("GET", "/staff", self.tasks, STAFF)
        site.add_page("POST", "/language", self.language)
        site.add_page("POST", "/sign-out", self.sign_out)
        site.add_page("GET", "/sign-in", self.sign_in)
        if site.local:
            site.add_page("POST", "/sign-in", self.sign_in_locally)
        site.add_page("POST", "/sample", self.sample)
        for path in ("/language", "/sign-out", "/sample"):
            site.add_page("GET", path, self.redirect_home)
        site.done_labels["sample"] = Text("예시 데이터 넣기", "Put sample data in")
        site.done_labels["signed-out"] = Text("로그아웃", "Sign out")
        site.app.add_route("/events", self.events, methods=["GET"], include_in_schema=False)

    async def redirect_home(self, page: PageContext) -> Response:
        """Respond to a GET of a path that only forms are sent to, for example after a language change."""
        return self.site.redirect("/")

    async def home(self, page: PageContext) -> Response:
        if page.visitor.is_customer:
            return await self._customers_home(page)
        if page.visitor.is_operator:
            return self.site.redirect("/operator")
        if page.visitor.is_staff:
            return self.site.redirect("/staff")
        return self.site.page(page, "welcome.html", businesses=BUSINESSES)

    async def _customers_home(self, page: PageContext) -> Response:
        cards, sections = await self._records(page)
        return self.site.page(
            page,
            "home.html",
            businesses=BUSINESSES,
            cards=[card for card in cards if card.is_open][:6],
            missing=[one.business.name for one in sections if one.problem],
            triggers=triggers((business, business.records) for business in BUSINESSES),
        )

    async def mine(self, page: PageContext) -> Response:
        """All records of a member across the businesses: open ones, then past ones, newest first."""
        cards, sections = await self._records(page)
        return self.site.page(
            page,
            "mine.html",
            now=[card for card in cards if card.is_open],
            past=[card for card in cards if not card.is_open],
            older=[one for one in sections if one.next_cursor],
            missing=[one.business.name for one in sections if one.problem],
            triggers=triggers((business, business.records) for business in BUSINESSES),
        )

    async def _records(self, page: PageContext) -> tuple[list[ItemCard], list[ListSection]]:
        sections = await self.business_pages.lists(page, [(business, business.records) for business in BUSINESSES])
        cards = [card for one in sections for card in one.cards]
        cards.sort(key=lambda card: str(card.item["created_at"]), reverse=True)
        return cards, sections

    async def tasks(self, page: PageContext) -> Response:
        """The tasks of staff, across the businesses."""
        wanted = [(business, listing) for business in ALL for listing in business.more_listings if listing.is_work]
        catalogues = [
            (business, business.catalogue) for business in BUSINESSES if business.catalogue and not page.is_fragment
        ]
        tasks, offered = await asyncio.gather(
            self.business_pages.lists(page, wanted), self.business_pages.lists(page, catalogues)
        )
        return self.site.page(
            page,
            "staff.html",
            sections=tasks,
            businesses=ALL,
            empty=not any(one.cards or one.problem for one in offered),
            triggers=triggers(wanted),
        )

    # -- session and language

    async def sign_in(self, page: PageContext) -> Response:
        back = local_url(page.query("next"), "/")
        return self.site.page(page, "sign_in.html", people=PEOPLE, back=back)

    async def sign_in_locally(self, page: PageContext) -> Response:
        """Sign in with the chosen identity, without a password; on local runs only."""
        key = self.site.settings.jwt_key
        assert key is not None
        subject, role, grade = _identity(page.form)
        try:
            token = tokens.issue(
                subject,
                role,
                grade,
                key=key.get_secret_value(),
                issuer=self.site.settings.jwt_issuer,
                audience=self.site.settings.jwt_audience,
                lifetime=timedelta(hours=self.site.settings.session_hours),
            )
        except ValueError:
            return await self.sign_in(page)
        response = self.site.redirect(local_url(page.form.get("next", ""), "/"))
        self.site.sessions.begin(response, token, await self.site.gateway.verifier.verify(f"Bearer {token}"))
        return response

    async def sign_out(self, page: PageContext) -> Response:
        response = self.site.redirect("/sign-in?done=signed-out" if self.site.settings.oidc_issuer else "/")
        try:
            await self.site.sessions.end(response, page.visitor)
        except Problem as problem:
            return self.site.problem(page, notices.not_signed_out(page.language), problem.status)
        return response

    async def language(self, page: PageContext) -> Response:
        response = self.site.redirect(local_url(page.form.get("next", ""), "/"))
        self.site.sessions.choose_language(response, page.form.get("language", ""))
        return response

    # -- live

    async def events(self, request: Request) -> Response:
        """Stream server-sent events to an open page, from the position at which it was rendered or disconnected."""
        page = await self.site.open(request)
        if isinstance(page, Response):
            return page
        if page.visitor.caller is None:
            return Response(status_code=204, headers=HEADERS)
        since = request.headers.get("last-event-id") or request.query_params.get("since", "")
        caller, visitor = page.visitor.caller, page.visitor
        hints = self._hints(caller, visitor, since)
        stream = EventStream(hints, self.site.gateway.streams, caller.member_id, visitor.language)
        return self.site.sessions.remember(stream, visitor)

    async def _hints(self, caller: Caller, visitor: Visitor, since: str) -> AsyncIterator[bytes]:
        """Yield hints until the session ends; the last one makes the page reload, which redirects to sign-in.

        A session that is to be renewed is renewed by that reload, and the page opens another stream.
        """

        def is_closing() -> bool:
            return self._is_over() or self.site.sessions.is_over(visitor)

        async for hint in self.site.live.stream(caller, since, is_closing):
            yield hint
        if not self._is_over():
            yield f"event: {REFRESH}\ndata: {REFRESH}\n\n".encode()

    # -- sample data

    async def sample(self, page: PageContext) -> Response:
        """Register the sample data in the name of the visitor, who must be staff; repeating it changes nothing."""
        if not page.visitor.is_staff:
            return self.site.problem(page, notices.wrong_role(page.visitor.language), 403)
        refused = await seed(lambda path, body, key: self.site.api.send(page.visitor, "POST", path, body, key))
        if refused:
            return self.site.problem(page, notices.partly_seeded(page.language), 503)
        return self.site.redirect("/staff?done=sample")


def _identity(form: dict[str, str]) -> tuple[str, Role, str | None]:
    """Return subject, role and grade of a listed person or of the form; `tokens.issue` validates them."""
    for subject, role, grade, _ in PEOPLE:
        if subject == form.get("person"):
            return subject, role, grade
    return form.get("subject", "").strip(), cast(Role, form.get("role", "")), form.get("grade") or None
