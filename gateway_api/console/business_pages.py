"""The businesses' pages: what is offered, one thing with its story, a form, and what it led to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from starlette.responses import Response

from gateway_api.console import problems
from gateway_api.console.actions import TEST_PAYMENTS, Action, Business, Item, Listing, idempotency_key
from gateway_api.console.businesses import ALL
from gateway_api.console.internal_api import ApiResponse
from gateway_api.console.problems import ProblemWords
from gateway_api.console.site import KEPT, PageContext, Site, place_here
from gateway_api.console.words import MEMBER, Fact
from gateway_api.gateway import ANY

Neighbours = dict[str, asyncio.Future[ApiResponse]]
"""What lies beside the items of a list, by its route."""
FORM_ONLY = {"csrf", "nonce", "back"}
_NAMED = re.compile(r"\{([a-z_]+)\}")
_VERSION = re.compile(r"[0-9]{1,9}")
MOST_LOOKS = 10
"""How often a page that waits for a view looks again."""


@dataclass(frozen=True, slots=True)
class Card:
    """One item as a page shows it."""

    business: Business
    listing: Listing
    item: Item
    actions: tuple[Action, ...]
    own: bool = False
    """A member looks at what is theirs."""

    @property
    def id(self) -> str:
        return self.listing.id_of(self.item)

    @property
    def facts(self) -> list[Fact]:
        return [fact for fact in self.listing.facts(self.item) if not (self.own and fact[0] == MEMBER)]

    @property
    def place(self) -> str:
        return f"/{self.business.slug}/{self.listing.slug}/{quote(self.id, safe='')}"

    @property
    def anchor(self) -> str:
        """Its own name on a page, by which the focus is found again when the page is redrawn."""
        return self.place[1:].replace("/", "-")

    @property
    def is_open(self) -> bool:
        """Something is still to happen."""
        state = self.listing.state(self.item)
        return self.listing.next(self.item) is not None or (state is not None and state.tone == "wait")

    def place_of(self, action: Action) -> str:
        id = quote(str(self.item[action.key] if action.key else self.id), safe="")
        return f"/{self.business.slug}/{self.listing.slug}/{id}/{action.slug}"


@dataclass(frozen=True, slots=True)
class Shown:
    """A list on a page: its cards, or why there are none."""

    business: Business
    listing: Listing
    cards: list[Card]
    problem: ProblemWords | None
    older: str = ""
    """The API's cursor for what comes after these; empty where nothing does."""

    @property
    def place(self) -> str:
        """The list's own page."""
        return f"/{self.business.slug}/{self.listing.slug}"

    @property
    def older_place(self) -> str:
        return f"{self.place}?after={quote(self.older, safe='')}"

    @property
    def count(self) -> str:
        """How many there are, as far as is known."""
        return f"{len(self.cards)}+" if self.older else str(len(self.cards))


def triggers(pairs: Iterable[tuple[Business, Listing]]) -> str:
    """The live hints at which a page's part is drawn anew."""
    names = {f"sse:{listing.hears}-{business.family}" for business, listing in pairs}
    return ", ".join([*sorted(names), "sse:refresh"])


class BusinessPages:
    """The pages of all businesses."""

    def __init__(self, desk: Site) -> None:
        self.desk = desk
        for business in ALL:
            self._add(business)

    def _add(self, business: Business) -> None:
        base = f"/{business.slug}"
        for action in (*business.registers, *(action for one in business.listings for action in one.actions)):
            self.desk.said[f"{business.slug}.{action.slug}"] = action.label

        async def overview(page: PageContext) -> Response:
            return await self._overview(page, business)

        async def whole_list(page: PageContext) -> Response:
            return await self._whole_list(page, business)

        async def item(page: PageContext) -> Response:
            return await self._item(page, business)

        async def form(page: PageContext) -> Response:
            return await self._form(page, business)

        async def submit(page: PageContext) -> Response:
            return await self._submit(page, business)

        self.desk.add("GET", base, overview, ANY)
        self.desk.add("GET", f"{base}/{{listing}}", whole_list, ANY)
        self.desk.add("GET", f"{base}/new/{{action}}", form, ANY)
        self.desk.add("POST", f"{base}/new/{{action}}", submit, ANY)
        self.desk.add("GET", f"{base}/{{listing}}/{{id}}", item, ANY)
        self.desk.add("GET", f"{base}/{{listing}}/{{id}}/{{action}}", form, ANY)
        self.desk.add("POST", f"{base}/{{listing}}/{{id}}/{{action}}", submit, ANY)

    # -- looking

    async def _overview(self, page: PageContext, business: Business) -> Response:
        wanted = [one for one in business.listings if page.role in one.roles and one is not business.account]
        if page.visitor.is_staff:  # what waits for them comes right after what is offered
            wanted.sort(key=lambda one: (one is not business.shelf, not one.work))
        account = business.account if business.account and page.role in business.account.roles else None
        shown, mine = await asyncio.gather(
            self.lists(page, [(business, one) for one in wanted]),
            self._account(page, account),
        )
        return self.desk.page(
            page,
            "business.html",
            business=business,
            shown=shown,
            account=mine,
            registers=[action for action in business.registers if page.role in action.roles],
            triggers=triggers((business, one) for one in [*wanted, *([account] if account else [])]),
        )

    async def _whole_list(self, page: PageContext, business: Business) -> Response:
        """One list on a page of its own, as far back as it goes."""
        listing = business.listing(page.part("listing"))
        if listing is None or listing is business.account or page.role not in listing.roles:
            return self._nothing(page)
        shown = await self._list(page, business, listing, page.asked("after"))
        return self.desk.page(
            page,
            "list.html",
            one=shown,
            first=not page.asked("after"),
            triggers=triggers([(business, listing)]),
        )

    async def _account(self, page: PageContext, account: Listing | None) -> Item | None:
        if account is None:
            return None
        heard = await self.desk.api.get(page.visitor, account.path)
        return heard.body if heard.ok else None

    async def lists(self, page: PageContext, wanted: Sequence[tuple[Business, Listing]]) -> list[Shown]:
        """Several lists at once, each with what it joins."""
        return await asyncio.gather(*(self._list(page, business, listing) for business, listing in wanted))

    async def _list(self, page: PageContext, business: Business, listing: Listing, after: str = "") -> Shown:
        path = listing.staff_path if listing.staff_path and page.visitor.is_staff else listing.path
        heard = await self.desk.api.get(page.visitor, f"{path}&{urlencode({'cursor': after})}" if after else path)
        if not heard.ok:
            return Shown(business, listing, [], problems.told(heard, page.visitor.language))
        known: Neighbours = {}
        items = await asyncio.gather(*(self._joined(page, listing, item, known) for item in heard.items))
        cards = [self._card(page, business, listing, item) for item in items]
        return Shown(business, listing, cards, None, heard.body.get("next_cursor") or "")

    async def _joined(self, page: PageContext, listing: Listing, item: Item, known: Neighbours) -> Item:
        """An item with what lies beside it, asked for once; what cannot be had now is left out."""
        found: dict[str, Any] = {}
        for name, template in listing.joins:
            path = _NAMED.sub(lambda part: str(item[part[1]]), template)
            if path not in known:
                known[path] = asyncio.ensure_future(self.desk.api.get(page.visitor, path))
            heard = await known[path]
            if heard.ok:
                found[name] = heard.body
        return {**item, **found}

    def _card(self, page: PageContext, business: Business, listing: Listing, item: Item) -> Card:
        actions = tuple(one for one in listing.actions if one.is_for(page.role, item))
        return Card(business, listing, item, actions, page.visitor.is_customer)

    async def _fetch(self, page: PageContext, listing: Listing, id: str) -> ApiResponse:
        seen = page.asked("seen")
        waits = f"?min_version={seen}" if listing.waits and _VERSION.fullmatch(seen) else ""
        heard = await self.desk.api.get(page.visitor, listing.item.replace("{id}", id) + waits)
        if not heard.ok:
            return heard
        return ApiResponse(heard.status, await self._joined(page, listing, heard.body, {}))

    async def _item(self, page: PageContext, business: Business) -> Response:
        listing = business.listing(page.part("listing"))
        if listing is None or not listing.item or page.role not in listing.roles:
            return self._nothing(page)
        heard = await self._fetch(page, listing, page.part("id"))
        if not heard.ok:
            return self._coming(page, business) or self.desk.problem(
                page, problems.told(heard, page.language), heard.status
            )
        return self.desk.page(
            page,
            "item.html",
            business=business,
            listing=listing,
            card=self._card(page, business, listing, heard.body),
            triggers=triggers([(business, listing)]),
        )

    def _coming(self, page: PageContext, business: Business) -> Response | None:
        """What was done just now is not shown yet: the page looks again by itself, for a while."""
        seen, looks = page.asked("seen"), page.asked("looks") or "0"
        if page.is_part or not (_VERSION.fullmatch(seen) and _VERSION.fullmatch(looks)) or int(looks) >= MOST_LOOKS:
            return None
        again = f"{page.path}?{urlencode({'seen': seen, 'looks': int(looks) + 1})}"
        return self.desk.page(page, "coming.html", 202, business=business, again=again)

    # -- doing

    async def _form(self, page: PageContext, business: Business) -> Response:
        found = self._named(page, business)
        if found is None:
            return self._nothing(page)
        return await self._draw(page, business, *found)

    async def _submit(self, page: PageContext, business: Business) -> Response:
        found = self._named(page, business)
        if found is None:
            return self._nothing(page)
        listing, action = found
        given = {name: value for name, value in page.given.items() if name not in FORM_ONLY}
        path, body = action.request(given, page.part("id") if listing else "")
        key = idempotency_key(page.given.get("nonce", ""), given)
        heard = await self.desk.api.send(
            page.visitor, action.method, path, body, key if action.method == "POST" else ""
        )
        if heard.ok:
            return self.desk.go(self._afterwards(page, business, listing, action, heard))
        if heard.code == "not_signed_in":
            return self.desk.to_sign_in(page)
        return await self._draw(page, business, listing, action, heard)

    def _named(self, page: PageContext, business: Business) -> tuple[Listing | None, Action] | None:
        """The action that a path names, and the list of what it is about; None when there is none for this role."""
        slug = page.part("action")
        listing = None
        if "listing" in page.request.path_params:
            listing = business.listing(page.part("listing"))
            action = listing.action(slug) if listing else None
        else:
            action = next((one for one in business.registers if one.slug == slug), None)
        if action is None or page.role not in action.roles:
            return None
        return listing, action

    async def _draw(
        self,
        page: PageContext,
        business: Business,
        listing: Listing | None,
        action: Action,
        heard: ApiResponse | None = None,
    ) -> Response:
        """The form, with what it is about; after a refusal with the reason, and what was filled in."""
        card: Card | None = None
        if listing is not None and listing.item:
            about = await self._fetch(page, listing, page.part("id"))
            if not about.ok and heard is None:
                return self.desk.problem(page, problems.told(about, page.visitor.language), about.status)
            card = self._card(page, business, listing, about.body) if about.ok else None
        item = card.item if card else {}
        told = problems.told(heard, page.visitor.language) if heard else None
        values = {field.name: page.given.get(field.name, field.first(item)) for field in action.fields}
        same = told is not None and told.code in problems.SAME_KEY
        return self.desk.page(
            page,
            "form.html",
            heard.status if heard else 200,
            business=business,
            listing=listing,
            action=action,
            card=card,
            problem=told,
            values={**values, "token": page.given.get("token", "tok_visa")},
            kept_nonce=page.given.get("nonce", "") if same else "",
            payments=TEST_PAYMENTS,
            back=place_here(page.given.get("back") or page.asked("back"), card.place if card else f"/{business.slug}"),
        )

    def _afterwards(
        self, page: PageContext, business: Business, listing: Listing | None, action: Action, heard: ApiResponse
    ) -> str:
        """Where to look after something was done."""
        version = heard.body.get("version", "")
        if action.opens:
            new_id = heard.location.rpartition("/")[2]
            return f"/{business.slug}/{business.things.slug}/{new_id}?seen={version}"
        own = f"/{business.slug}"
        if listing is not None and listing.item:
            own = f"{own}/{listing.slug}/{page.part('id')}"
        back = place_here(page.given.get("back", ""), own)
        if action.method == "DELETE" and back == own:
            back = f"/{business.slug}"
        place = urlsplit(back)
        kept = {name: values[0] for name, values in parse_qs(place.query).items() if name in KEPT}
        seen = {"seen": version} if place.path == own else {}
        return f"{place.path}?{urlencode({**kept, 'done': f'{business.slug}.{action.slug}', **seen})}"

    def _nothing(self, page: PageContext) -> Response:
        return self.desk.problem(page, problems.nothing_here(page.visitor.language), 404)
