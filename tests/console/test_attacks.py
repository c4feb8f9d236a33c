"""Attacks on the console have no effect, leak nothing, and cause no internal error."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote
from uuid import uuid4

import pytest

from contracts.base import Role
from gateway_api import tokens
from gateway_api.console.session import BROWSER, SESSION
from tests.console.conftest import rental, video
from tests.gateway_api.conftest import KEY

SCRIPT = "<script>alert(1)</script>'\"><img src=x onerror=alert(1)>"
VIDEO = video()["video_id"]
BOOK = f"/video-rental/videos/{VIDEO}/book"


@pytest.fixture
def shelf(rpc):
    rpc.replies_with("video_rental.rentals.show_shelf", video())
    rpc.replies_with("video_rental.rentals.book_video", rental())
    return rpc


def expired(role: Role = "customer") -> str:
    return tokens.issue("kim", role, key=KEY, lifetime=timedelta(seconds=-60))


async def test_a_dead_letter_cannot_inject_markup_into_the_operators_page(browser, rpc):
    letter = {
        "dead_letter_id": str(uuid4()),
        "context": SCRIPT,
        "topic": SCRIPT,
        "error": SCRIPT,
        "body": SCRIPT,
        "status": "DEAD",
        "died_at": "2026-02-27T14:50:00Z",
        "attempts": 3,
        "story_id": None,
        "resolutions": [{"at": "2026-02-27T14:50:00Z", "action": "replay", "by": SCRIPT, "reason": SCRIPT}],
    }
    rpc.replies_with("journal.list_dead_letters", {"items": [letter], "next_cursor": None})
    rpc.replies_with("journal.show_dead_letter", letter)
    await browser.sign_in("jung")

    for path in ("/operator/dead-letters", f"/operator/dead-letters/{letter['dead_letter_id']}"):
        page = await browser.look(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img" not in page.text


@pytest.mark.parametrize(
    "path", ["/operator/story?id=", "/sign-in?next=", "/staff?done=", "/video-rental/videos?after="]
)
async def test_input_from_a_url_is_escaped(browser, path):
    await browser.sign_in("jung")

    page = await browser.look(path + quote(SCRIPT))

    assert "<script>alert" not in page.text
    assert "<img" not in page.text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_form_from_another_site_is_refused(browser, shelf, site):
    await browser.sign_in("kim")
    await browser.look(BOOK)
    fields = {name: browser.hidden(name) for name in ("csrf", "nonce")}

    answer = await browser.post(BOOK, data={**fields, "days": "1"}, headers={"sec-fetch-site": site})

    assert answer.status_code == 403
    assert not [request for request in shelf.requests if request.topic.endswith("book_video")]


async def test_a_form_of_an_earlier_session_is_refused(browser, shelf):
    await browser.sign_in("kim")
    await browser.look(BOOK)
    old = browser.hidden("csrf")
    await browser.sign_in("lee")

    assert (await browser.post(BOOK, data={"csrf": old, "days": "1"})).status_code == 403


async def test_signing_in_changes_the_browser_id(browser):
    await browser.look("/sign-in")
    browser.cookies.clear()
    browser.cookies.set(BROWSER, "chosen-by-somebody-else")
    browser.page = await browser.get("/sign-in")

    await browser.submit("/sign-in", person="kim")

    names = [cookie.value for cookie in browser.cookies.jar if cookie.name == BROWSER]
    assert names[-1] != "chosen-by-somebody-else"


async def test_a_session_that_expired_before_a_form_was_sent_leads_back_to_the_form(browser, shelf):
    await browser.sign_in("kim")
    await browser.look(BOOK)
    browser.cookies.clear()
    browser.cookies.set(SESSION, expired())
    browser.cookies.set(BROWSER, "the-same")

    page = await browser.submit(BOOK, days="1", token="tok_visa")

    assert page.status_code == 401
    assert "What you sent was not done" in page.text
    assert f'href="/sign-in?next={BOOK}"' in page.text
    assert not [request for request in shelf.requests if request.topic.endswith("book_video")]


async def test_signing_in_returns_to_the_requested_story(browser):
    answer = await browser.look("/operator/story?id=4711")

    assert answer.headers["location"] == "/sign-in?next=/operator/story%3Fid%3D4711"


async def test_a_page_of_another_member_is_redrawn(browser):
    await browser.sign_in("choi")
    await browser.sign_in("kim")

    answer = await browser.look("/staff", headers={"hx-request": "true"})

    assert (answer.status_code, answer.headers["hx-refresh"]) == (403, "true")


@pytest.mark.parametrize(
    "cookie",
    [
        f"{SESSION}=;;;=;{BROWSER}",
        f"{SESSION}=a.b.c; {SESSION}=d.e.f; yeyak_language=<b>",
        f'{SESSION}="\\377\\000"',
        f"{SESSION}={'x' * 9000}",
        f"{SESSION}=eyJhbGciOiJIUzI1NiIsImtpZCI6W119.e30.x",
    ],
)
async def test_an_invalid_cookie_is_no_session(browser, cookie):
    answer = await browser.get("/mine", headers={"cookie": cookie})

    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"csrf=%ff%fe", "application/x-www-form-urlencoded", 422),
        ("csrf=é".encode(), "application/x-www-form-urlencoded", 422),
        (b"&".join(b"a%d=1" % number for number in range(100)), "application/x-www-form-urlencoded", 422),
        (b"a=" + b"x" * 100_000, "application/x-www-form-urlencoded", 413),
        (b'{"csrf": "x"}', "application/json", 403),
        (b"--x\r\nContent-Disposition: form-data; name=csrf\r\n\r\nx\r\n--x--", "multipart/form-data; boundary=x", 403),
        (b"", "", 403),
    ],
)
async def test_an_invalid_form_is_refused(browser, shelf, content, kind, status):
    await browser.sign_in("kim")

    answer = await browser.post(BOOK, content=content, headers={"content-type": kind})

    assert answer.status_code == status
    assert "text/html" in answer.headers["content-type"]
    assert not [request for request in shelf.requests if request.topic.endswith("book_video")]


@pytest.mark.parametrize(
    "path",
    [
        "/video-rental/videos/..%2f..%2foperations/book",
        "/video-rental/rentals/%2e%2e",
        "/video-rental/rentals/%00",
        "/video-rental/rentals/a%3Fb%23c%25d",
        "/bike-sharing/deposits/me/credit",
        "/bike-sharing/deposits/%2e%2e/credit",
        "/assets/..%2f..%2foidc.py",
        "/assets/%2e%2e/oidc.py",
        f"/video-rental/rentals/{VIDEO}?seen=²&looks=٣",
        f"/video-rental/rentals/{VIDEO}?seen={'9' * 5000}",
    ],
)
async def test_an_odd_url_is_refused(browser, path):
    await browser.sign_in("choi")

    assert (await browser.look(path)).status_code in (403, 404, 503)


@pytest.mark.parametrize(
    "place", ["/nowhere", "/video-rental/", "/video-rental/rentals/1/2/3/4", "/problems/nothing/x"]
)
async def test_not_found_is_a_page_for_a_browser_and_json_for_a_program(browser, place):
    page = await browser.look(place, headers={"accept": "text/html,*/*"})
    answer = await browser.look(place)

    assert (page.status_code, answer.status_code) == (404, 404)
    assert "<h2>Not found</h2>" in page.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_api_paths_answer_with_json_also_in_a_browser(browser):
    answer = await browser.look("/v1/nothing", headers={"accept": "text/html"})

    assert answer.headers["content-type"] == "application/problem+json"


async def test_assets_are_revalidated(browser):
    first = await browser.look("/assets/console.js")

    again = await browser.look("/assets/console.js", headers={"if-none-match": first.headers["etag"]})

    assert (first.headers["cache-control"], again.status_code) == ("no-cache", 304)


@pytest.mark.parametrize("place", ["/language", "/sign-out", "/sample"])
async def test_a_get_of_a_form_target_redirects_home(browser, place):
    assert (await browser.look(place)).headers["location"] == "/"


@pytest.mark.parametrize("path", ["/", "/mine", BOOK, "/events", "/sign-in"])
async def test_a_page_can_be_asked_for_by_its_head_and_its_methods(browser, shelf, path):
    await browser.sign_in("kim")

    head = await browser.head(path) if path != "/events" else None
    options = await browser.options(path)

    assert head is None or (head.status_code, head.content) == (200, b"")
    assert options.status_code == 204
    assert (await browser.put(path)).status_code == 405


async def test_an_internal_error_is_a_page_without_its_cause(browser, rpc, capsys):
    rpc.replies_with("video_rental.my_page.show_my_page", {"rental_id": "no such shape: hush"})
    await browser.sign_in("kim")

    page = await browser.look(f"/video-rental/rentals/{VIDEO}")

    assert "eyJ" not in capsys.readouterr().out
    assert page.status_code == 500
    assert "Something went wrong" in page.text
    assert "hush" not in page.text


async def test_a_page_waits_for_its_view_for_a_limited_time(browser, rpc):
    rpc.refuses("video_rental.my_page.show_my_page", "not_found")
    await browser.sign_in("kim")
    place = f"/video-rental/rentals/{VIDEO}"

    waiting = await browser.look(f"{place}?seen=2")
    over = await browser.look(f"{place}?seen=2&looks=10")
    never = await browser.look(place)

    assert waiting.status_code == 202
    assert f'content="2; url={place}?seen=2&amp;looks=1"' in waiting.text
    assert (over.status_code, never.status_code) == (404, 404)
