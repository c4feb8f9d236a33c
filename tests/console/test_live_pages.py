"""What a page that is open shows later: changes, hints, the end of its session; and who is told of the provider."""

from __future__ import annotations

import asyncio

import pytest

from gateway_api.console.session import Sessions
from tests.console.conftest import rental


async def test_a_page_that_cannot_be_loaded_is_not_reported_as_unchanged(browser):
    await browser.sign_in("kim")

    page = await browser.look(f"/video-rental/rentals/{rental()['rental_id']}")

    assert page.status_code == 503
    assert "nothing was changed" not in page.text


async def test_hints_end_with_the_session_and_the_page_reloads(browser, monkeypatch):
    await browser.sign_in("kim")
    monkeypatch.setattr(Sessions, "is_over", lambda *_: True)

    async with asyncio.timeout(10):
        stream = await browser.look("/events")

    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.text.endswith("event: refresh\ndata: refresh\n\n")


async def test_an_expired_session_reloads_the_whole_page(browser):
    answer = await browser.look("/mine", headers={"hx-request": "true"})

    assert (answer.status_code, answer.headers["hx-refresh"]) == (401, "true")


async def test_hints_need_a_session(browser):
    assert (await browser.look("/events")).status_code == 204


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ({"name": "simulator", "mode": "simulated"}, "Payments are simulated"),
        ({"name": "stripe", "mode": "test"}, "Stripe in test mode"),
        ({"name": "portone", "mode": "live"}, "Connected to PortOne: real money moves."),
    ],
)
async def test_staff_see_whether_real_money_moves(browser, rpc, provider, said):
    rpc.replies_with("payments.show_provider", provider)
    await browser.sign_in("choi")

    assert said in (await browser.look("/payments")).text


async def test_customers_are_not_told_about_the_provider(browser, rpc):
    rpc.replies_with("payments.show_provider", {"name": "stripe", "mode": "test"})
    await browser.sign_in("kim")

    assert "Stripe" not in (await browser.look("/payments")).text
