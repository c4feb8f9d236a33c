"""What the console says about the payment provider."""

from __future__ import annotations

import pytest


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
