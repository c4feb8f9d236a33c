"""A form that is sent after its session has ended is shown again after sign-in, and never sends itself."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway_api.console.drafts import DRAFT
from gateway_api.console.session import SESSION
from tests.console.conftest import Browser

NEW_VIDEO = "/video-rental/new/video"
FIELDS = {"title": "Casablanca & <친구>", "daily_price": "1,500", "copies": "2"}


async def end_elsewhere(browser: Browser) -> None:
    """End the session in another window, of which this page knows nothing."""
    page, cookies = browser.page, dict(browser.cookies)
    await browser.look("/")
    await browser.look("/sign-in")
    await browser.submit("/sign-out")
    browser.page = page
    for name, value in cookies.items():
        browser.cookies.set(name, value)


async def submit_late(browser: Browser, path: str = NEW_VIDEO, **more: Any) -> Any:
    """Open a form as the person who is signed in, and send it when their session is over."""
    await browser.look(path)
    await end_elsewhere(browser)
    return await browser.submit(path, **(more or FIELDS))


async def test_a_form_has_its_values_after_sign_in_and_is_sent_by_the_person_only(browser, rpc):
    await browser.sign_in("choi")

    refused = await submit_late(browser)
    browser.cookies.delete(SESSION)
    await browser.sign_in("choi")
    page = await browser.look(NEW_VIDEO)

    assert refused.status_code == 401
    assert "the form shows what you entered" in refused.text
    assert f'href="/sign-in?next={NEW_VIDEO}"' in refused.text
    assert 'value="Casablanca &amp; &lt;친구&gt;"' in page.text
    assert 'value="1,500"' in page.text
    assert "This was not sent yet" in page.text
    assert not rpc.requests
    assert DRAFT not in browser.cookies


async def test_a_form_that_was_shown_again_can_be_sent(browser, rpc):
    await browser.sign_in("choi")
    await submit_late(browser)
    browser.cookies.delete(SESSION)
    await browser.sign_in("choi")
    await browser.look(NEW_VIDEO)

    await browser.submit(NEW_VIDEO, **FIELDS)

    assert [request.topic for request in rpc.requests] == ["video_rental.videos.register_video"]
    assert rpc.body["title"] == FIELDS["title"]


async def test_a_form_is_shown_again_once(browser):
    await browser.sign_in("choi")
    await submit_late(browser)
    browser.cookies.delete(SESSION)
    await browser.sign_in("choi")
    await browser.look(NEW_VIDEO)

    assert "Casablanca" not in (await browser.look(NEW_VIDEO)).text


async def test_nobody_else_sees_a_form_that_was_kept(browser):
    await browser.sign_in("choi")
    await submit_late(browser)
    browser.cookies.delete(SESSION)
    await browser.sign_in("jung")

    assert "Casablanca" not in (await browser.look(NEW_VIDEO)).text


async def test_a_kept_form_belongs_to_its_page(browser):
    await browser.sign_in("choi")
    await submit_late(browser)
    browser.cookies.delete(SESSION)
    await browser.sign_in("choi")

    assert "Casablanca" not in (await browser.look("/cafe/new/item")).text
    assert DRAFT in browser.cookies


async def test_a_kept_form_is_not_readable_in_its_cookie_and_holds_no_payment(browser):
    await browser.sign_in("choi")
    await submit_late(browser, **FIELDS, token="tok_visa")

    cookie = browser.cookies[DRAFT]
    assert b"Casablanca" not in base64.urlsafe_b64decode(cookie + "==")
    browser.cookies.delete(SESSION)
    await browser.sign_in("choi")
    assert "tok_visa" not in (await browser.look(NEW_VIDEO)).text


@pytest.mark.parametrize(
    ("csrf", "site", "is_kept"),
    [
        ("forged", "cross-site", False),
        ("forged", "same-site", False),
        ("forged", None, False),
        ("forged", "same-origin", True),
        ("own", None, True),
    ],
)
async def test_a_form_of_another_site_is_not_kept(browser, csrf, site, is_kept):
    await browser.sign_in("choi")
    await browser.look(NEW_VIDEO)
    await end_elsewhere(browser)
    token = browser.hidden("csrf") if csrf == "own" else csrf

    answer = await browser.post(
        NEW_VIDEO, data={**FIELDS, "csrf": token}, headers={"sec-fetch-site": site} if site else {}
    )

    assert answer.status_code == 401
    assert (DRAFT in browser.cookies, "the form shows what you entered" in answer.text) == (is_kept, is_kept)


async def test_a_form_without_any_session_is_kept_for_whoever_signs_in(browser):
    """The browser has forgotten the session, as after a sign-out in another window."""
    await browser.post(NEW_VIDEO, data={**FIELDS, "csrf": "old"}, headers={"sec-fetch-site": "same-origin"})
    await browser.sign_in("choi")

    assert 'value="1,500"' in (await browser.look(NEW_VIDEO)).text


async def test_a_form_that_is_too_long_for_a_cookie_is_not_promised(browser):
    await browser.sign_in("choi")

    answer = await submit_late(browser, title="x" * 4000)

    assert answer.status_code == 401
    assert "the form shows what you entered" not in answer.text
    assert DRAFT not in browser.cookies


async def test_the_reason_for_dead_letters_is_kept(browser, rpc):
    letter = {
        "dead_letter_id": "7d5b4f4e-1f5b-4e0e-8f4e-0d5a4b1f7c11",
        "context": "cafe.menu",
        "topic": "cafe.menu.quote_price",
        "error": "no",
        "died_at": "2026-02-27T14:50:00Z",
        "attempts": 3,
    }
    rpc.replies_with("journal.list_dead_letters", {"items": [letter], "next_cursor": None})
    await browser.sign_in("jung")

    await submit_late(
        browser, "/operator/dead-letters", ids=letter["dead_letter_id"], reason="the price was wrong", action="discard"
    )
    browser.cookies.delete(SESSION)
    await browser.sign_in("jung")

    assert 'value="the price was wrong"' in (await browser.look("/operator/dead-letters")).text
    assert not [request for request in rpc.requests if "resolve" in request.topic]
