"""Lists with more than one page: links work without scripts, and a redrawn page stays in place."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

from contracts.outcomes import Outcome
from gateway_api.console.payments import ALL
from tests.console.conftest import Browser, rental
from tests.gateway_api.conftest import FakeRpcClient
from workers.runtime.messaging.envelope import RpcReply

CURSOR = "a+b/c="
LISTS = [(business, listing) for business in ALL for listing in business.listings if listing is not business.account]


@pytest.fixture
def endless(rpc: FakeRpcClient, monkeypatch: pytest.MonkeyPatch) -> FakeRpcClient:
    """An RPC client whose lists always have a next page."""

    async def call(request, **_):
        rpc.requests.append(request)
        more = {"items": [], "next_cursor": CURSOR, "as_of": "2026-02-27T14:50:01Z"}
        return rpc.answers.get(request.topic, RpcReply(Outcome.DONE, json.dumps(more).encode()))

    rpc.replies_with("bike_sharing.deposits.show_deposit", {"member_id": "kim", "balance": 0, "debt": 0})
    rpc.replies_with("payments.show_provider", {"name": "simulator", "mode": "simulated"})
    monkeypatch.setattr(rpc, "call", call)
    return rpc


def links(browser: Browser, pattern: str) -> list[str]:
    assert browser.page is not None
    return [unescape(found) for found in re.findall(rf'href="({pattern}[^"]*)"', browser.page.text)]


@pytest.mark.parametrize(("business", "listing"), LISTS, ids=lambda one: one.slug)
async def test_each_list_links_to_its_next_page(browser, endless, business, listing):
    await browser.sign_in("choi" if "staff" in listing.roles else "kim")
    place = f"/{business.slug}/{listing.slug}"
    await browser.look(f"/{business.slug}")
    (older,) = links(browser, re.escape(f"{place}?after="))

    page = await browser.look(older)

    assert page.status_code == 200
    assert json.loads(endless.requests[-1].body)["cursor"] == CURSOR
    assert links(browser, re.escape(f"{place}?after=")) == [older]
    assert place in links(browser, re.escape(place))


async def test_a_later_page_is_redrawn_in_place(browser, endless):
    endless.replies_with("video_rental.my_page.list_my_page", {"items": [rental()], "next_cursor": None})
    endless.replies_with("video_rental.rentals.pick_up_video", rental(status="RENTED"))
    await browser.sign_in("kim")
    place = "/video-rental/rentals?after=a%2Bb%2Fc%3D"
    page = await browser.look(place)
    assert f'hx-get="{place}"' in page.text

    answer = await browser.submit(f"/video-rental/rentals/{rental()['rental_id']}/pickup")

    assert answer.headers["location"] == f"{place}&done=video-rental.pickup"
    assert "Accepted: Pick up" in (await browser.look(answer.headers["location"])).text


async def test_my_things_link_to_the_next_page_of_each_business(browser, endless):
    await browser.sign_in("kim")
    await browser.look("/mine")

    older = links(browser, r"/[a-z-]+/[a-z]+\?after=")

    assert [place.split("/")[1] for place in older] == [business.slug for business in ALL[:-1]]


async def test_a_partial_count_is_marked_as_partial(browser, endless):
    endless.replies_with("video_rental.my_page.list_my_page", {"items": [rental()], "next_cursor": CURSOR})
    await browser.sign_in("kim")

    page = await browser.look("/video-rental/rentals")

    assert '<span class="count">1+</span>' in page.text


async def test_dead_letters_have_further_pages(browser, endless):
    await browser.sign_in("jung")
    await browser.look("/operator/dead-letters?status=DISCARDED")
    (older,) = links(browser, r"/operator/dead-letters\?status=DISCARDED&amp;after=")

    await browser.look(older)

    request = json.loads(endless.requests[-1].body)
    assert (request["status"], request["cursor"]) == ("DISCARDED", CURSOR)
    assert "/operator/dead-letters?status=DISCARDED" in links(browser, "/operator")


@pytest.mark.parametrize("path", ["/bike-sharing/deposit", "/cafe/nothing", "/bike-sharing/deposits"])
async def test_a_list_of_another_role_is_not_found(browser, endless, path):
    await browser.sign_in("kim")

    assert (await browser.look(path)).status_code == 404


async def test_the_deposit_of_a_member_whose_id_has_a_slash_can_be_opened(browser, rpc):
    account = {
        "member_id": "a/b",
        "balance": 1000,
        "debt": 0,
        "held": 0,
        "version": 1,
        "modified_at": "2026-11-30T00:00:00Z",
    }
    rpc.replies_with("bike_sharing.deposits.list_deposits", {"items": [account], "next_cursor": None})
    rpc.replies_with("bike_sharing.deposits.show_deposit", account)
    await browser.sign_in("choi")

    shelf = await browser.look("/bike-sharing/deposits")
    page = await browser.look("/bike-sharing/deposits/a%2Fb")

    assert "/bike-sharing/deposits/a%2Fb" in shelf.text
    assert page.status_code == 200
    assert rpc.body["member_id"] == "a/b"
