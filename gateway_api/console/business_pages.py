"""The pages of the businesses: an overview, whole lists, an item with its timeline, and the forms of actions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from starlette.responses import Response

from gateway_api.console import notices
from gateway_api.console.actions import TEST_PAYMENTS, Action, Business, Item, Listing, StaffNotice, idempotency_key
from gateway_api.console.internal_api import ApiResponse
from gateway_api.console.notices import ProblemNotice
from gateway_api.console.payments import ALL
from gateway_api.console.payments import EVENTS as PAYMENT_EVENTS
from gateway_api.console.site import KEPT_PARAMETERS, PageContext, Site, local_url
from gateway_api.console.words import MEMBER, Fact, Text
from gateway_api.gateway import ANY

JoinedItems = dict[str, asyncio.Future[ApiResponse]]
"""Joined items that are being fetched, by the path of the API."""
FORM_ONLY = {"csrf", "nonce", "back"}
_NAMED = re.compile(r"\{([a-z_]+)\}")
_VERSION = re.compile(r"[0-9]{1,9}")
MAX_RELOADS = 10
"""How often a page that waits for a view reloads itself."""


@dataclass(frozen=True, slots=True)
class ItemCard:
    """An item as a page shows it, with the actions that the visitor may take."""

    business: Business
    listing: Listing
    item: Item
    actions: tuple[Action, ...]
    own: bool = False
    """Whether the visitor is the member that the item belongs to; then the member is not shown."""

    @property
    def id(self) -> str:
        return self.listing.id_of(self.item)

    @property
    def facts(self) -> list[Fact]:
        return [fact for fact in self.listing.facts(self.item) if not (self.own and fact[0] == MEMBER)]

    @property
    def url(self) -> str:
        return f"/{self.business.slug}/{self.listing.slug}/{quote(self.id, safe='')}"

    @property
    def anchor(self) -> str:
        """The id of its link in the page, by which htmx restores the focus after a swap."""
        return self.url[1:].replace("/", "-")

    @property
    def is_open(self) -> bool:
        """Whether something is still to happen to it."""
        state = self.listing.state(self.item)
        return self.listing.next(self.item) is not None or (state is not None and state.tone == "wait")

    def action_url(self, action: Action) -> str:
        id = quote(str(self.item[action.id_field] if action.id_field else self.id), safe="")
        return f"/{self.business.slug}/{self.listing.slug}/{id}/{action.slug}"


@dataclass(frozen=True, slots=True)
class ListSection:
    """A list on a page: its cards, or the problem for which there are none."""

    business: Business
    listing: Listing
    cards: list[ItemCard]
    problem: ProblemNotice | None
    next_cursor: str = ""
    """The API's cursor of the next page; empty at the end."""

    @property
    def url(self) -> str:
        """The URL of the list's own page."""
        return f"/{self.business.slug}/{self.listing.slug}"

    @property
    def older_url(self) -> str:
        return f"{self.url}?after={quote(self.next_cursor, safe='')}"

    @property
    def count(self) -> str:
        """The number of cards, with a `+` when the list continues."""
        return f"{len(self.cards)}+" if self.next_cursor else str(len(self.cards))


def triggers(pairs: Iterable[tuple[Business, Listing]]) -> str:
    """Return the htmx triggers at which the live fragment of a page is reloaded."""
    names = {f"sse:{listing.hint}-{business.family}" for business, listing in pairs}
    return ", ".join([*sorted(names), "sse:refresh"])


class BusinessPages:
    """The pages of all businesses."""

    def __init__(self, site: Site) -> None:
        self.site = site
        for business in ALL:
            self._add(business)

    def _add(self, business: Business) -> None:
        base = f"/{business.slug}"
        for action in (*business.general_actions, *(action for one in business.listings for action in one.actions)):
            self.site.done_labels[f"{business.slug}.{action.slug}"] = action.label

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

        self.site.add_page("GET", base, overview, ANY)
        self.site.add_page("GET", f"{base}/{{listing}}", whole_list, ANY)
        self.site.add_page("GET", f"{base}/new/{{action}}", form, ANY)
        self.site.add_page("POST", f"{base}/new/{{action}}", submit, ANY)
        self.site.add_page("GET", f"{base}/{{listing}}/{{id}}", item, ANY)
        self.site.add_page("GET", f"{base}/{{listing}}/{{id}}/{{action}}", form, ANY)
        self.site.add_page("POST", f"{base}/{{listing}}/{{id}}/{{action}}", submit, ANY)

    # -- lists and items

    async def _overview(self, page: PageContext, business: Business) -> Response:
        wanted = [one for one in business.listings if page.role in one.roles and one is not business.account]
        if page.visitor.is_staff:  # staff see their tasks right after the catalogue
            wanted.sort(key=lambda one: (one is not business.catalogue, not one.is_work))
        account = business.account if business.account and page.role in business.account.roles else None
        sections, balance, notice = await asyncio.gather(
            self.lists(page, [(business, one) for one in wanted]),
            self._account(page, account),
            self._staff_notice(page, business.staff_notice),
        )
        return self.site.page(
            page,
            "business.html",
            business=business,
            sections=sections,
            account=balance,
            staff_notice=notice,
            actions=[action for action in business.general_actions if page.role in action.roles],
            triggers=triggers((business, one) for one in [*wanted, *([account] if account else [])]),
        )

    async def _whole_list(self, page: PageContext, business: Business) -> Response:
        """One list, page by page."""
        listing = business.listing(page.path_part("listing"))
        if listing is None or listing is business.account or page.role not in listing.roles:
            return self._not_found(page)
        section = await self._list(page, business, listing, page.query("after"))
        return self.site.page(
            page,
            "list.html",
            section=section,
            first=not page.query("after"),
            triggers=triggers([(business, listing)]),
        )

    async def _staff_notice(self, page: PageContext, notice: StaffNotice | None) -> Text | None:
        if notice is None or not page.visitor.is_staff:
            return None
        response = await self.site.api.get(page.visitor, notice.path)
        return notice.text(response.body) if response.ok else None

    async def _account(self, page: PageContext, account: Listing | None) -> Item | None:
        if account is None:
            return None
        response = await self.site.api.get(page.visitor, account.path)
        return response.body if response.ok else None

    async def lists(self, page: PageContext, wanted: Sequence[tuple[Business, Listing]]) -> list[ListSection]:
        """Fetch several lists concurrently, each with its joined items."""
        return await asyncio.gather(*(self._list(page, business, listing) for business, listing in wanted))

    async def _list(self, page: PageContext, business: Business, listing: Listing, after: str = "") -> ListSection:
        path = listing.staff_path if listing.staff_path and page.visitor.is_staff else listing.path
        response = await self.site.api.get(page.visitor, f"{path}&{urlencode({'cursor': after})}" if after else path)
        if not response.ok:
            return ListSection(business, listing, [], notices.problem_notice(response, page.visitor.language))
        joined: JoinedItems = {}
        items = await asyncio.gather(*(self._joined(page, listing, item, joined) for item in response.items))
        cards = [self._card(page, business, listing, item) for item in items]
        return ListSection(business, listing, cards, None, response.body.get("next_cursor") or "")

    async def _joined(self, page: PageContext, listing: Listing, item: Item, joined: JoinedItems) -> Item:
        """Return an item with its joined items, each fetched once; those that are not available are left out."""
        extra: dict[str, Any] = {}
        for name, template in listing.joins:
            path = _NAMED.sub(lambda part: str(item[part[1]]), template)
            if path not in joined:
                joined[path] = asyncio.ensure_future(self.site.api.get(page.visitor, path))
            response = await joined[path]
            if response.ok:
                extra[name] = response.body
        return {**item, **extra}

    def _card(self, page: PageContext, business: Business, listing: Listing, item: Item) -> ItemCard:
        actions = tuple(one for one in listing.actions if one.is_for(page.role, item))
        return ItemCard(business, listing, item, actions, page.visitor.is_customer)

    async def _fetch(self, page: PageContext, listing: Listing, id: str) -> ApiResponse:
        seen = page.query("seen")
        query = f"?min_version={seen}" if listing.takes_min_version and _VERSION.fullmatch(seen) else ""
        response = await self.site.api.get(page.visitor, listing.item.replace("{id}", id) + query)
        if not response.ok:
            return response
        return ApiResponse(response.status, await self._joined(page, listing, response.body, {}))

    async def _item(self, page: PageContext, business: Business) -> Response:
        listing = business.listing(page.path_part("listing"))
        if listing is None or not listing.item or page.role not in listing.roles:
            return self._not_found(page)
        response = await self._fetch(page, listing, page.path_part("id"))
        if not response.ok:
            return self._pending_page(page, business) or self.site.problem(
                page, notices.problem_notice(response, page.language), response.status
            )
        return self.site.page(
            page,
            "item.html",
            business=business,
            listing=listing,
            card=self._card(page, business, listing, response.body),
            events={**PAYMENT_EVENTS, **business.events},
            triggers=triggers([(business, listing)]),
        )

    def _pending_page(self, page: PageContext, business: Business) -> Response | None:
        """Return a page that reloads itself until the view has applied the visitor's command; None to give up."""
        seen, reloads = page.query("seen"), page.query("looks") or "0"
        if (
            page.is_fragment
            or not (_VERSION.fullmatch(seen) and _VERSION.fullmatch(reloads))
            or int(reloads) >= MAX_RELOADS
        ):
            return None
        reload_url = f"{page.path}?{urlencode({'seen': seen, 'looks': int(reloads) + 1})}"
        return self.site.page(page, "pending.html", 202, business=business, reload_url=reload_url)

    # -- actions

    async def _form(self, page: PageContext, business: Business) -> Response:
        found = self._find_action(page, business)
        if found is None:
            return self._not_found(page)
        kept = self.site.drafts.of(page)
        page.form.update(kept)
        shown = await self._show_form(page, business, *found, is_kept=bool(kept))
        if kept:
            self.site.drafts.forget(shown)
        return shown

    async def _submit(self, page: PageContext, business: Business) -> Response:
        found = self._find_action(page, business)
        if found is None:
            return self._not_found(page)
        listing, action = found
        given = {name: value for name, value in page.form.items() if name not in FORM_ONLY}
        path, body = action.request(given, page.path_part("id") if listing else "")
        key = idempotency_key(page.form.get("nonce", ""), given)
        response = await self.site.api.send(
            page.visitor, action.method, path, body, key if action.method == "POST" else ""
        )
        if response.ok:
            return self.site.redirect(self._next_url(page, business, listing, action, response))
        if response.code == "not_signed_in":
            return self.site.redirect_to_sign_in(page)
        return await self._show_form(page, business, listing, action, response)

    def _find_action(self, page: PageContext, business: Business) -> tuple[Listing | None, Action] | None:
        """Return the action that a path names, with the list of its item; None when this role has no such action."""
        slug = page.path_part("action")
        listing = None
        if "listing" in page.request.path_params:
            listing = business.listing(page.path_part("listing"))
            action = listing.action(slug) if listing else None
        else:
            action = next((one for one in business.general_actions if one.slug == slug), None)
        if action is None or page.role not in action.roles:
            return None
        return listing, action

    async def _show_form(
        self,
        page: PageContext,
        business: Business,
        listing: Listing | None,
        action: Action,
        response: ApiResponse | None = None,
        *,
        is_kept: bool = False,
    ) -> Response:
        """Render the form of an action with its item; after a refusal also the problem and the submitted values.

        `is_kept` tells that the form has values that were submitted without a session.
        """
        card: ItemCard | None = None
        if listing is not None and listing.item:
            fetched = await self._fetch(page, listing, page.path_part("id"))
            if not fetched.ok and response is None:
                return self.site.problem(page, notices.problem_notice(fetched, page.visitor.language), fetched.status)
            card = self._card(page, business, listing, fetched.body) if fetched.ok else None
        item = card.item if card else {}
        notice = notices.form_kept(page.language) if is_kept else None
        if response is not None:
            notice = notices.problem_notice(response, page.language)
        values = {field.name: page.form.get(field.name, field.initial_value(item)) for field in action.fields}
        same_key = notice is not None and notice.code in notices.RETRY_SAME_KEY
        return self.site.page(
            page,
            "form.html",
            response.status if response else 200,
            business=business,
            listing=listing,
            action=action,
            card=card,
            problem=notice,
            values={**values, "token": page.form.get("token", "tok_visa")},
            shown={**action.shown_values(item), **(page.form if same_key else {})},
            kept_nonce=page.form.get("nonce", "") if same_key else "",
            payments=TEST_PAYMENTS,
            back=local_url(page.form.get("back") or page.query("back"), card.url if card else f"/{business.slug}"),
        )

    def _next_url(
        self, page: PageContext, business: Business, listing: Listing | None, action: Action, response: ApiResponse
    ) -> str:
        """Return the URL of the page to show after an action succeeded."""
        version = response.body.get("version", "")
        if action.opens_new_item:
            new_id = response.location.rpartition("/")[2]
            return f"/{business.slug}/{business.records.slug}/{new_id}?seen={version}"
        item_url = f"/{business.slug}"
        if listing is not None and listing.item:
            item_url = f"{item_url}/{listing.slug}/{page.path_part('id')}"
        back = local_url(page.form.get("back", ""), item_url)
        if action.method == "DELETE" and back == item_url:
            back = f"/{business.slug}"
        parts = urlsplit(back)
        kept = {name: values[0] for name, values in parse_qs(parts.query).items() if name in KEPT_PARAMETERS}
        seen = {"seen": version} if parts.path == item_url else {}
        return f"{parts.path}?{urlencode({**kept, 'done': f'{business.slug}.{action.slug}', **seen})}"

    def _not_found(self, page: PageContext) -> Response:
        return self.site.problem(page, notices.not_found(page.visitor.language), 404)
