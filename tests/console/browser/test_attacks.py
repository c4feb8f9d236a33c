"""User input is never run as a script in a browser."""

from __future__ import annotations

from uuid import uuid4

from tests.console.browser.conftest import OpenBrowser
from tests.console.browser.test_stories import card

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>'\"><svg/onload=alert(1)>{{7*7}}"


async def test_no_input_is_run_as_a_script(arrive: OpenBrowser):
    staff, kim, jung = await arrive("choi"), await arrive("kim"), await arrive("jung")
    mark = uuid4().hex[:6]
    text = f"{mark}{SCRIPT}"
    times = {"starts_at": "2199-05-01T19:00", "ends_at": "2199-05-01T21:00"}
    for place, fields in (
        ("/video-rental/new/video", {"title": text, "daily_price": "1500", "copies": "1"}),
        ("/ticketing/new/ticket", {"name": text, **times, "base_price": "30000"}),
        ("/ticketing/new/policy", {"name": text, "value": "1"}),
        ("/bike-sharing/new/bike", {"code": f"{mark}<img src=x onerror=alert(1)>", "location": SCRIPT[:60]}),
        ("/shop/new/product", {"name": text, "price": "1000", "stock": "3"}),
        ("/cafe/new/item", {"name": text, "price": "1000"}),
        ("/preorder/new/product", {"name": text, "price": "1000", "quota": "5"}),
    ):
        await staff.go(place)
        await staff.fill(**fields)
        await staff.page.locator("form.sheet button").click()
        await staff.page.get_by_role("status").filter(has_text="Accepted").wait_for()
    await kim.go("/cafe")
    await kim.press("Order", within=card(mark))
    await kim.page.locator("form.sheet button").click()
    await staff.go("/cafe")
    await staff.press("Reject", within=card(f"{mark}{SCRIPT[:8]}") + ":has-text('Pickup')")
    await staff.fill(reason=text)
    await staff.page.locator("form.sheet button").click()
    await kim.sees(SCRIPT)

    for someone, places in (
        (kim, ["/", "/mine", "/video-rental", "/ticketing", "/bike-sharing", "/shop", "/cafe", "/preorder"]),
        (staff, ["/staff", "/video-rental", "/ticketing", "/bike-sharing", "/shop", "/cafe", "/preorder"]),
        (jung, ["/operator", "/operator/dead-letters", f"/operator/story?id={SCRIPT}"]),
    ):
        for place in places:
            await someone.go(place)
            assert await someone.page.locator("main img, main script, main svg[onload]").count() == 0, place
            assert "49" not in await someone.page.locator("h1").first.inner_text()
