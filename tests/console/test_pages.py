"""Pages over HTTP: access, content, and the requests that forms become."""

from __future__ import annotations

import json

import pytest

from contracts.outcomes import Outcome
from gateway_api.console.payments import ALL
from gateway_api.console.render import POLICY
from gateway_api.console.session import SESSION
from tests.console.conftest import rental, video
from workers.runtime.messaging.envelope import RpcReply

VIDEO, RENTAL = video()["video_id"], rental()["rental_id"]
BOOK = f"/video-rental/videos/{VIDEO}/book"
CHANGE = f"/video-rental/videos/{VIDEO}/change"
ROOMS = ["/mine", "/staff", "/operator", *(f"/{business.slug}" for business in ALL)]


@pytest.fixture
def shelf(rpc):
    rpc.replies_with("video_rental.rentals.show_shelf", video())
    rpc.replies_with("video_rental.rentals.list_shelf", {"items": [video()], "next_cursor": None})
    rpc.replies_with("video_rental.rentals.book_video", rental())
    rpc.replies_with("video_rental.my_page.show_my_page", rental())
    rpc.replies_with(
        "video_rental.my_page.list_my_page", {"items": [], "next_cursor": None, "as_of": "2026-02-27T14:50:01Z"}
    )
    return rpc


@pytest.mark.parametrize("path", ROOMS)
async def test_a_visitor_is_redirected_to_sign_in_and_back(browser, path):
    answer = await browser.look(path)

    assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?next={path}")


@pytest.mark.parametrize(
    ("person", "path", "status"),
    [
        ("kim", "/staff", 403),
        ("kim", "/operator", 403),
        ("kim", "/video-rental/new/video", 404),
        ("choi", "/operator", 403),
        ("choi", "/mine", 403),
        ("jung", "/mine", 403),
        ("jung", "/staff", 200),
        ("jung", "/operator", 200),
        ("choi", "/video-rental/new/video", 200),
        ("kim", "/video-rental/nothing/1", 404),
    ],
)
async def test_each_section_is_for_its_role(browser, person, path, status):
    await browser.sign_in(person)

    assert (await browser.look(path)).status_code == status


async def test_pages_have_a_strict_content_security_policy(browser, shelf):
    await browser.sign_in("kim")
    for path in ("/", "/sign-in", "/video-rental", BOOK, f"/video-rental/rentals/{RENTAL}"):
        page = await browser.look(path)

        assert page.headers["content-security-policy"] == POLICY
        assert page.headers["cache-control"] == "no-store"
        assert "unsafe" not in POLICY
        assert "style=" not in page.text
        assert "onclick" not in page.text
        assert "http://" not in page.text
        assert "https://" not in page.text


async def test_input_is_escaped(browser, rpc, shelf):
    rpc.replies_with("video_rental.rentals.list_shelf", {"items": [video(title="<script>alert(1)</script>")]})
    await browser.sign_in("kim")

    page = await browser.look("/video-rental")

    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text


async def test_a_booking_is_one_request_and_redirects_to_its_page(browser, shelf):
    await browser.sign_in("kim")
    await browser.look(BOOK)

    answer = await browser.submit(BOOK, days="2", token="tok_visa")

    assert answer.status_code == 303
    assert answer.headers["location"] == f"/video-rental/rentals/{RENTAL}?seen=2"
    (sent,) = [request for request in shelf.requests if request.topic == "video_rental.rentals.book_video"]
    assert json.loads(sent.body)["caller"]["member_id"] == "kim"
    assert json.loads(sent.body)["days"] == 2
    assert json.loads(sent.body)["expected_price"] == 2 * video()["daily_price"]


async def test_a_change_names_the_version_that_was_shown(browser, shelf):
    await browser.sign_in("choi")
    await browser.look(CHANGE)

    await browser.submit(CHANGE, title="Casablanca", daily_price="2000", copies="1")

    (sent,) = [request for request in shelf.requests if request.topic == "video_rental.videos.change_video"]
    assert json.loads(sent.body)["expected_version"] == 1


async def test_the_same_form_sent_twice_is_one_message(browser, shelf):
    await browser.sign_in("kim")
    await browser.look(BOOK)

    for days in ("2", "2", "3"):
        await browser.submit(BOOK, days=days, token="tok_visa")

    first, again, changed = [
        request.message_id for request in shelf.requests if request.topic == "video_rental.rentals.book_video"
    ]
    assert first == again
    assert changed != first


@pytest.mark.parametrize("path", [BOOK, "/language", "/sign-out", "/sample"])
async def test_a_form_without_the_token_of_this_browser_is_refused(browser, shelf, path):
    await browser.sign_in("kim")
    before = len(shelf.requests)

    for data in ({}, {"csrf": ""}, {"csrf": "0" * 64}):
        answer = await browser.post(path, data={**data, "days": "1", "token": "tok_visa"})

        assert answer.status_code == 403
        assert SESSION in browser.cookies
    assert len(shelf.requests) == before


async def test_the_token_of_another_browser_is_refused(open_browser, shelf):
    kim, lee = open_browser(), open_browser()
    await kim.sign_in("kim")
    await lee.sign_in("lee")
    await lee.look(BOOK)
    await kim.look(BOOK)

    answer = await kim.post(BOOK, data={"csrf": lee.hidden("csrf"), "days": "1", "token": "tok_visa"})

    assert answer.status_code == 403


async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(open_browser):
    browser = open_browser(console_url="https://yeyak.example")
    await browser.look("/sign-in")
    answer = await browser.post(
        "/sign-in",
        data={"csrf": browser.hidden("csrf"), "person": "kim"},
        headers={"cookie": f"yeyak_browser={_browser_name(browser)}"},
    )

    cookies = answer.headers.get_list("set-cookie")
    assert any(cookie.startswith(SESSION) for cookie in cookies)
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Secure" in cookie


def _browser_name(browser):
    return next(cookie.value for cookie in browser.cookies.jar if cookie.name == "yeyak_browser")


async def test_a_forged_session_is_no_session(browser):
    browser.cookies.set(SESSION, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJraW0iLCJyb2xlIjoib3BlcmF0b3IifQ.")

    assert (await browser.look("/operator")).status_code == 303


@pytest.mark.parametrize("place", ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example", "x"])
async def test_signing_in_does_not_redirect_to_another_host(browser, place):
    await browser.look("/sign-in")

    answer = await browser.submit("/sign-in", person="kim", next=place)

    assert answer.headers["location"] == "/"


async def test_with_an_issuer_nobody_can_choose_a_member(open_browser):
    browser = open_browser(
        oidc_issuer="https://id.example",
        jwt_jwks_url="https://id.example/keys",
        console_key="k" * 32,
        console_url="http://console",
    )

    page = await browser.look("/sign-in")
    answer = await browser.post("/sign-in", data={"person": "jung", "csrf": browser.hidden("csrf")})

    assert "Local run" not in page.text
    assert 'value="jung"' not in page.text
    assert answer.status_code == 405


async def test_without_any_sign_in_method_the_page_says_so(open_browser):
    browser = open_browser(jwt_jwks_url="https://id.example/keys")

    page = await browser.look("/sign-in")

    assert "YEYAK_OIDC_ISSUER" in page.text
    assert "/sign-in/begin" not in page.text


@pytest.mark.parametrize(
    ("code", "details", "status", "says"),
    [
        ("payment_declined", {"reason": "insufficient_funds"}, 402, "See my things"),
        ("payment_unavailable", {}, 503, "No money is kept"),
        ("already_booked", {}, 409, "See the booking"),
        ("late_fee_owed", {}, 409, "Pay the late fee"),
    ],
)
async def test_a_refused_booking_shows_its_reason_and_what_can_be_done(browser, shelf, code, details, status, says):
    shelf.refuses("video_rental.rentals.book_video", code, **details)
    await browser.sign_in("kim")
    await browser.look(BOOK)

    page = await browser.submit(BOOK, days="4", token="tok_declined")

    assert page.status_code == status
    assert says in page.text
    assert 'name="days" value="4"' in page.text
    assert "Accepted" not in page.text


async def test_an_unknown_outcome_is_never_shown_as_done(browser, shelf):
    await browser.sign_in("kim")
    await browser.look(BOOK)
    nonce = browser.hidden("nonce")
    shelf.answers["video_rental.rentals.book_video"] = RpcReply(Outcome.UNKNOWN)

    browser.page = await browser.submit(BOOK, days="1", token="tok_visa")

    assert browser.page.status_code == 504
    assert "We are still checking the outcome" in browser.page.text
    assert browser.hidden("nonce") == nonce


async def test_a_validation_error_is_shown_beside_its_field(browser, shelf):
    await browser.sign_in("kim")
    await browser.look(BOOK)

    page = await browser.submit(BOOK, days="soon", token="tok_visa")

    assert page.status_code == 422
    assert 'id="wrong-days"' in page.text
    assert "must be a whole number" in page.text


async def test_a_card_number_is_refused_here_too(browser, rpc):
    await browser.sign_in("choi")
    await browser.look("/video-rental/new/video")

    page = await browser.submit("/video-rental/new/video", title="4111 1111 1111 1111", daily_price="1", copies="1")

    assert page.status_code == 422
    assert not [request for request in rpc.requests if request.topic == "video_rental.videos.register_video"]


async def test_a_page_is_served_while_its_context_is_unavailable(browser):
    await browser.sign_in("kim")

    for path in ("/", "/mine", "/video-rental"):
        page = await browser.look(path)
        assert page.status_code == 200
    assert "Please try again shortly" in page.text


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("AWAITING_PAYMENT", "We are still checking your payment"),
        ("BOOKED", "Pick it up in time"),
        ("CANCELLED", "The refund is under way"),
    ],
)
async def test_a_pending_state_is_shown_as_pending(browser, rpc, status, says):
    refund = {"refund_id": RENTAL, "status": "REFUND_FAILED", "amount": 3000} if status == "CANCELLED" else None
    rpc.replies_with("video_rental.my_page.show_my_page", rental(status=status, refund=refund))
    await browser.sign_in("kim")

    page = await browser.look(f"/video-rental/rentals/{RENTAL}")

    assert says in page.text


async def test_pages_have_both_languages_and_seoul_time(browser, rpc):
    rpc.replies_with("video_rental.my_page.show_my_page", rental())
    await browser.sign_in("kim")
    english = await browser.look(f"/video-rental/rentals/{RENTAL}")
    answer = await browser.submit("/language", language="ko", next=f"/video-rental/rentals/{RENTAL}")
    korean = await browser.look(answer.headers["location"])

    assert '<html lang="en">' in english.text
    assert "₩3,000" in english.text
    assert '<html lang="ko">' in korean.text
    assert "3,000원" in korean.text
    assert ">예약<" in korean.text
    assert "3월 1일 (일) 23:50" in korean.text


async def test_a_cancellation_is_confirmed_first_and_may_have_a_reason(browser, rpc):
    rpc.replies_with("video_rental.my_page.show_my_page", rental())
    rpc.replies_with("video_rental.rentals.cancel_booking", rental(status="CANCELLED"))
    await browser.sign_in("kim")
    page = await browser.look(f"/video-rental/rentals/{RENTAL}")
    assert f'href="/video-rental/rentals/{RENTAL}/cancel?back=' in page.text
    page = await browser.look(f"/video-rental/rentals/{RENTAL}/cancel?back=/mine")

    answer = await browser.submit(f"/video-rental/rentals/{RENTAL}/cancel", reason="another day")

    assert "All that was paid is given back" in page.text
    assert rpc.body["reason"] == "another day"
    assert answer.headers["location"] == "/mine?done=video-rental.cancel"


async def test_the_page_after_an_action_confirms_it(browser, rpc):
    for person, place, says in (
        ("choi", "/staff?done=cafe.accept", "Accepted: Accept"),
        ("choi", "/staff?done=sample", "Accepted: Put sample data in"),
        ("kim", "/mine?done=video-rental.return", "Accepted: Return"),
        ("jung", "/operator/dead-letters?status=REPLAYED&done=replay", "Accepted: Replay"),
    ):
        await browser.sign_in(person)
        assert (says in (await browser.look(place)).text) == (person != "jung"), place


async def test_no_confirmation_is_shown_beside_a_problem(browser, rpc):
    await browser.sign_in("jung")

    page = await browser.look("/operator/dead-letters?done=replay")

    assert "Accepted" not in page.text


async def test_refused_sample_data_is_not_confirmed(browser, rpc):
    await browser.sign_in("choi")
    await browser.look("/staff")

    page = await browser.submit("/sample")

    assert page.status_code == 503
    assert "Not all sample data is in" in page.text


@pytest.mark.parametrize(("changes", "says"), [({"available": 0}, "All out"), ({"available": 1}, "For rent")])
async def test_a_video_without_free_copies_is_not_offered(browser, rpc, changes, says):
    rpc.replies_with("video_rental.rentals.list_shelf", {"items": [video(**changes)], "next_cursor": None})
    await browser.sign_in("kim")

    page = await browser.look("/video-rental/videos")

    assert [text for text in ("All out", "For rent") if text in page.text] == [says]


async def test_members_do_not_read_their_own_name_on_each_card_but_staff_do(browser, rpc):
    rpc.replies_with("video_rental.my_page.show_my_page", rental())
    for person, shown in (("kim", False), ("choi", True)):
        await browser.sign_in(person)
        page = await browser.look(f"/video-rental/rentals/{RENTAL}")

        assert ("<dt>Member</dt>" in page.text) == shown
