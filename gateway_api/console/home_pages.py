"""The front: home, my things, the staff's work, signing in and out, the language, live hints, sample data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from contracts.base import Caller, Role
from gateway_api import tokens
from gateway_api.console import problems
from gateway_api.console.business_pages import BusinessPages, Card, Shown, triggers
from gateway_api.console.businesses import ALL, BUSINESSES
from gateway_api.console.live import REFRESH
from gateway_api.console.render import HEADERS
from gateway_api.console.sample import seed
from gateway_api.console.site import PageContext, Site, place_here
from gateway_api.console.words import Text
from gateway_api.gateway import CUSTOMER, STAFF

PEOPLE: tuple[tuple[str, Role, str, Text], ...] = (
    ("kim", "customer", "STANDARD", Text("김 · 고객", "Kim · customer")),
    ("lee", "customer", "STANDARD", Text("이 · 고객", "Lee · customer")),
    ("park", "customer", "VIP", Text("박 · VIP 고객", "Park · VIP customer")),
    ("choi", "staff", "STANDARD", Text("최 · 직원", "Choi · staff")),
    ("jung", "operator", "STANDARD", Text("정 · 운영자", "Jung · operator")),
)
"""Who one may be on a local run; any other name is possible too."""


class HomePages:
    """Pages that belong to no single business."""

    def __init__(self, desk: Site, rooms: BusinessPages, is_over: Callable[[], bool]) -> None:
        self.desk = desk
        self.rooms = rooms
        self._is_over = is_over
        desk.add("GET", "/", self.home)
        desk.add("GET", "/mine", self.mine, CUSTOMER)
        desk.add("GET", "/staff", self.work, STAFF)
        desk.add("POST", "/language", self.language)
        desk.add("POST", "/sign-out", self.sign_out)
        desk.add("GET", "/sign-in", self.sign_in)
        if desk.local:
            desk.add("POST", "/sign-in", self.choose)
        desk.add("POST", "/sample", self.sample)
        for place in ("/language", "/sign-out", "/sample"):
            desk.add("GET", place, self.start)
        desk.said["sample"] = Text("예시 데이터 넣기", "Put sample data in")
        desk.said["signed-out"] = Text("로그아웃", "Sign out")
        desk.app.add_route("/events", self.events, methods=["GET"], include_in_schema=False)

    async def start(self, page: PageContext) -> Response:
        """Where only forms are sent to there is nothing to look at."""
        return self.desk.go("/")

    async def home(self, page: PageContext) -> Response:
        if page.visitor.is_customer:
            return await self._customers_home(page)
        if page.visitor.is_operator:
            return self.desk.go("/operator")
        if page.visitor.is_staff:
            return self.desk.go("/staff")
        return self.desk.page(page, "welcome.html", businesses=BUSINESSES)

    async def _customers_home(self, page: PageContext) -> Response:
        cards, shown = await self._things(page)
        return self.desk.page(
            page,
            "home.html",
            businesses=BUSINESSES,
            cards=[card for card in cards if card.is_open][:6],
            missing=[one.business.name for one in shown if one.problem],
            triggers=triggers((business, business.things) for business in BUSINESSES),
        )

    async def mine(self, page: PageContext) -> Response:
        """Everything of a member across all businesses: what is open first, then newest first."""
        cards, shown = await self._things(page)
        return self.desk.page(
            page,
            "mine.html",
            now=[card for card in cards if card.is_open],
            past=[card for card in cards if not card.is_open],
            older=[one for one in shown if one.older],
            missing=[one.business.name for one in shown if one.problem],
            triggers=triggers((business, business.things) for business in BUSINESSES),
        )

    async def _things(self, page: PageContext) -> tuple[list[Card], list[Shown]]:
        shown = await self.rooms.lists(page, [(business, business.things) for business in BUSINESSES])
        cards = [card for one in shown for card in one.cards]
        cards.sort(key=lambda card: str(card.item["created_at"]), reverse=True)
        return cards, shown

    async def work(self, page: PageContext) -> Response:
        """What waits for staff, across all businesses."""
        wanted = [(business, listing) for business in ALL for listing in business.worklists if listing.work]
        shelves = [(business, business.shelf) for business in BUSINESSES if business.shelf and not page.is_part]
        shown, first = await asyncio.gather(self.rooms.lists(page, wanted), self.rooms.lists(page, shelves))
        return self.desk.page(
            page,
            "staff.html",
            shown=shown,
            businesses=ALL,
            empty=not any(one.cards or one.problem for one in first),
            triggers=triggers(wanted),
        )

    # -- who, and in which language

    async def sign_in(self, page: PageContext) -> Response:
        back = place_here(page.asked("next"), "/")
        return self.desk.page(page, "sign_in.html", people=PEOPLE, back=back)

    async def choose(self, page: PageContext) -> Response:
        """On a local run: be somebody."""
        key = self.desk.settings.jwt_key
        assert key is not None
        subject, role, grade = _person(page.given)
        try:
            token = tokens.issue(
                subject,
                role,
                grade,
                key=key.get_secret_value(),
                issuer=self.desk.settings.jwt_issuer,
                audience=self.desk.settings.jwt_audience,
            )
        except ValueError:
            return await self.sign_in(page)
        response = self.desk.go(place_here(page.given.get("next", ""), "/"))
        self.desk.sessions.begin(response, token)
        return response

    async def sign_out(self, page: PageContext) -> Response:
        response = self.desk.go("/sign-in?done=signed-out" if self.desk.settings.oidc_issuer else "/")
        self.desk.sessions.end(response)
        return response

    async def language(self, page: PageContext) -> Response:
        response = self.desk.go(place_here(page.given.get("next", ""), "/"))
        self.desk.sessions.choose_language(response, page.given.get("language", ""))
        return response

    # -- live

    async def events(self, request: Request) -> Response:
        """Hints for one open page, from where the page stands or the browser lost the line."""
        visitor = await self.desk.sessions.visitor(request)
        if visitor.caller is None:
            return Response(status_code=204, headers=HEADERS)
        since = request.headers.get("last-event-id") or request.query_params.get("since", "")
        stream = self._hints(visitor.caller, since, visitor.expires_at)
        return StreamingResponse(stream, 200, {**HEADERS, "x-accel-buffering": "no"}, "text/event-stream")

    async def _hints(self, caller: Caller, since: str, expires_at: float) -> AsyncIterator[bytes]:
        """For as long as the session lasts; then the page looks again, and is sent to sign in."""

        def is_over() -> bool:
            return self._is_over() or self.desk.door.verifier.is_past(expires_at)

        async for hint in self.desk.live.stream(caller, since, is_over):
            yield hint
        if not self._is_over():
            yield f"event: {REFRESH}\ndata: {REFRESH}\n\n".encode()

    # -- sample data

    async def sample(self, page: PageContext) -> Response:
        """Fill an empty system; a second time changes nothing. As whoever presses, who must be staff."""
        if not page.visitor.is_staff:
            return self.desk.problem(page, problems.wrong_role(page.visitor.language), 403)
        refused = await seed(lambda path, body, key: self.desk.api.send(page.visitor, "POST", path, body, key))
        if refused:
            return self.desk.problem(page, problems.partly_seeded(page.language), 503)
        return self.desk.go("/staff?done=sample")


def _person(given: dict[str, str]) -> tuple[str, Role, str | None]:
    """One of those that are listed, or whom the form names; whether there can be such a one is seen later."""
    for subject, role, grade, _ in PEOPLE:
        if subject == given.get("person"):
            return subject, role, grade
    return given.get("subject", "").strip(), cast(Role, given.get("role", "")), given.get("grade") or None
