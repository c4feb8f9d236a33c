"""The story of each business in a browser, by a customer and a member of staff at the same time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

from contracts.cafe.menu import RegisterMenuItem
from contracts.cafe.orders import AcceptOrder, PlaceOrder
from tests.console.browser.conftest import LiveSystem, MemberPage, OpenBrowser
from tests.support.system import STAFF, customer, eventually


def fresh(name: str) -> str:
    return f"{name} {uuid4().hex[:6]}"


def card(name: str) -> str:
    """Return the selector of the card with this name."""
    return f"article.card:has-text('{name}')"


async def test_renting_a_video(arrive: OpenBrowser):
    kim, staff, title = await arrive("kim"), await arrive("choi"), fresh("Casablanca")
    await kim.go("/video-rental")
    await kim.is_live()
    await staff.go("/video-rental/new/video")
    await staff.fill(title=title, daily_price="1500", copies="1")
    await staff.press("Register a video")

    await kim.sees(title)
    await kim.press("Book", within=card(title))
    await kim.pay_with("tok_visa")
    await kim.press("Book", within="form.sheet")
    await kim.sees("Pick it up in time")
    await staff.go("/video-rental")
    await staff.press("Pick up", within=card(title))
    await kim.sees("Bring it back in time")
    await kim.press("Return")

    await kim.sees("Returned")


async def test_a_declined_and_a_silent_payment(arrive: OpenBrowser):
    lee, staff, title = await arrive("lee"), await arrive("choi"), fresh("Notorious")
    await staff.go("/video-rental/new/video")
    await staff.fill(title=title, daily_price="1500", copies="1")
    await staff.press("Register a video")
    await lee.go("/video-rental")
    await lee.is_live()
    await lee.sees(title)
    await lee.press("Book", within=card(title))
    await lee.pay_with("tok_declined")
    await lee.press("Book", within="form.sheet")
    await lee.page.get_by_role("alert").wait_for()
    declined = await lee.page.get_by_role("alert").inner_text()
    await lee.pay_with("tok_slow")
    await lee.press("Book", within="form.sheet")
    await lee.sees("No money is kept")

    await lee.go("/mine")

    assert "declined" in declined.lower()
    await lee.sees("Payment declined")
    await lee.sees("Cancelled")
    await lee.sees("insufficient funds")


async def test_reserving_a_ticket_and_giving_it_back(arrive: OpenBrowser):
    park, staff, name = await arrive("park"), await arrive("choi"), fresh("Pansori")
    await park.go("/ticketing")
    await park.is_live()
    await staff.go("/ticketing/new/ticket")
    await staff.fill(name=name, starts_at="2199-05-01T19:00", ends_at="2199-05-01T21:00", base_price="30000")
    await staff.press("Register a ticket")

    await park.sees(name)
    await park.press("Reserve", within=card(name))
    await park.sees("Come when it starts")
    await staff.go("/ticketing")
    await staff.is_live()
    await park.press("Cancel")
    await park.press("Cancel", within="form.sheet")
    await park.sees("Cancelled")
    await staff.page.locator(card(name)).get_by_text("Available").first.wait_for()


async def test_riding_a_bike(arrive: OpenBrowser):
    kim, staff, code = await arrive("kim"), await arrive("choi"), fresh("Seoul")
    await staff.go("/bike-sharing/new/bike")
    await staff.fill(code=code, location="Yeouido")
    await staff.press("Register a bike")
    await kim.go("/bike-sharing/new/top-up")
    await kim.fill(amount="10000")
    await kim.press("Top up", within="form.sheet")
    await kim.sees("₩10,000")
    await kim.is_live()
    await kim.sees(code)

    await kim.press("Ride", within=card(code))
    await kim.sees("Return it when you are done")
    await kim.press("Return")
    await kim.fill(location="Ttukseom")
    await kim.press("Return", within="form.sheet")

    await kim.sees("settled")
    await kim.sees("₩9,900")


async def test_a_deposit_that_is_too_low_says_what_to_do(arrive: OpenBrowser):
    lee, staff, code = await arrive("lee"), await arrive("choi"), fresh("Busan")
    await staff.go("/bike-sharing/new/bike")
    await staff.fill(code=code, location="Haeundae")
    await staff.press("Register a bike")
    await lee.go("/bike-sharing")
    await lee.is_live()
    await lee.sees(code)
    await lee.press("Ride", within=card(code))

    await lee.page.get_by_role("alert").get_by_role("link", name="Top up").click()

    await lee.sees("Test payment")


async def test_an_order_from_the_shop(arrive: OpenBrowser):
    kim, staff, name = await arrive("kim"), await arrive("choi"), fresh("Notebook")
    await staff.go("/shop/new/product")
    await staff.fill(name=name, price="12000", stock="3")
    await staff.press("Register a product")
    await kim.go("/shop")
    await kim.is_live()
    await kim.sees(name)
    await kim.press("Order", within=card(name))
    await kim.fill(quantity="2")
    await kim.press("Order", within="form.sheet")
    await kim.sees("Transfer the money")
    await staff.go("/staff")
    await staff.is_live()

    await staff.press("Confirm the deposit")
    await kim.sees("Confirm when you have it")
    await kim.press("Confirm receipt")

    await kim.sees("Received")


async def test_a_coffee_ordered_ahead(arrive: OpenBrowser):
    kim, staff, name = await arrive("kim"), await arrive("choi"), fresh("Latte")
    await staff.go("/cafe/new/item")
    await staff.fill(name=name, price="4800")
    await staff.press("Register an item")
    await kim.go("/cafe")
    await kim.is_live()
    await kim.sees(name)
    await staff.go("/staff")
    await staff.is_live()
    await kim.press("Order", within=card(name))
    await kim.press("Order", within="form.sheet")
    await kim.sees("The café will accept it shortly")
    order = card(name)

    for button in ("Accept", "Ready", "Hand out"):
        await staff.press(button, within=order)

    await kim.sees("Collected")


async def test_a_phone_reserved_and_cancelled(arrive: OpenBrowser):
    kim, staff, name = await arrive("kim"), await arrive("choi"), fresh("Moonlight")
    await staff.go("/preorder/new/product")
    await staff.fill(name=name, price="1250000", quota="5")
    await staff.press("Offer a model")
    await kim.go("/preorder")
    await kim.is_live()
    await kim.sees(name)
    await kim.press("Reserve", within=card(name))
    await kim.fill(address="Sejong-daero 110, Seoul")
    await kim.press("Reserve", within="form.sheet")
    await kim.sees("Wait for the delivery")
    await kim.press("Cancel")
    await kim.press("Cancel", within="form.sheet")

    await kim.sees("refunded")
    await kim.sees("voided")


async def test_a_change_is_visible_in_under_a_second_in_an_idle_system(arrive: OpenBrowser):
    lee, staff, title = await arrive("lee"), await arrive("choi"), fresh("Rebecca")
    await lee.go("/video-rental")
    await lee.is_live()
    await staff.go("/video-rental/new/video")
    await staff.fill(title=title, daily_price="1500", copies="1")
    seconds = []
    await staff.press("Register a video")
    await lee.sees(title)
    for number in range(3):
        await staff.press("Change", within=card(title))
        await staff.fill(title=f"{title} {number}")
        started = time.monotonic()
        await staff.press("Change", within="form.sheet")
        await lee.sees(f"{title} {number}")
        seconds.append(time.monotonic() - started)

    assert min(seconds) < 1, seconds


async def test_a_booking_without_scripts(arrive: OpenBrowser):
    staff, title = await arrive("choi", java_script_enabled=False), fresh("Gilda")
    await staff.go("/video-rental/new/video")
    await staff.fill(title=title, daily_price="1500", copies="1")
    await staff.press("Register a video")
    lee = await arrive("lee", java_script_enabled=False)

    await eventually(shown(lee, "/video-rental", title))
    await lee.press("Book", within=card(title))
    await lee.press("Book", within="form.sheet")
    await lee.press("Cancel")
    await lee.press("Cancel", within="form.sheet")

    await eventually(shown(lee, "/mine", title))
    await eventually(shown(lee, "/mine", "Cancelled"))


def shown(someone: MemberPage, path: str, text: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        await someone.go(path)
        return text in await someone.page.locator("main").inner_text()

    return look


async def test_a_hidden_page_closes_its_stream_and_catches_up_when_it_is_visible(arrive: OpenBrowser):
    lee, staff, title = await arrive("lee"), await arrive("choi"), fresh("Spellbound")
    await lee.go("/video-rental")
    await lee.is_live()
    await see(lee, hidden=True)
    await staff.go("/video-rental/new/video")
    await staff.fill(title=title, daily_price="1500", copies="1")
    await staff.press("Register a video")
    await staff.sees(title)
    assert await lee.page.locator(card(title)).count() == 0

    await see(lee, hidden=False)

    await lee.sees(title)


async def see(someone: MemberPage, *, hidden: bool) -> None:
    """Make a page hidden or visible for its scripts."""
    await someone.page.evaluate(
        """(hidden) => {
             Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
             document.dispatchEvent(new Event("visibilitychange"));
           }""",
        hidden,
    )


async def test_a_change_is_announced_to_screen_readers_and_open_details_stay_open(arrive: OpenBrowser):
    kim, staff, name = await arrive("kim"), await arrive("choi"), fresh("Mocha")
    await staff.go("/cafe/new/item")
    await staff.fill(name=name, price="5000")
    await staff.press("Register an item")
    await kim.go("/cafe")
    await kim.is_live()
    await kim.sees(name)
    await kim.press("Order", within=card(name))
    await kim.press("Order", within="form.sheet")
    await kim.sees("The café will accept it shortly")
    await kim.go("/mine")
    await kim.is_live()
    await kim.page.locator(f"{card(name)} summary").click()
    await kim.page.locator(f"{card(name)} .timeline li").wait_for()
    await staff.go("/staff")

    await staff.press("Accept", within=card(name))

    await kim.page.locator("[data-news]", has_text=f"{name} × 1: Accepted").wait_for(state="attached")
    await kim.page.locator(f"{card(name)} .timeline li").nth(1).wait_for()


async def test_older_orders_are_found_without_scripts_and_stay_live_with_them(arrive: OpenBrowser, city: LiveSystem):
    member = customer(fresh("Nora").replace(" ", "-"))
    item = await city.system.done(RegisterMenuItem(name=fresh("Tea"), price=4000, caller=STAFF))
    place = PlaceOrder(menu_item_id=item["menu_item_id"], caller=member)
    orders = [await city.system.done(place) for _ in range(51)]
    eldest = f"[data-id='{orders[0]['order_id']}']"
    nora, still = await arrive(), await arrive(java_script_enabled=False)
    for someone in (nora, still):
        await someone.sign_in_as(member.member_id)
        await someone.go("/mine")
        assert await someone.page.locator(eldest).count() == 0
        await someone.page.locator("nav").get_by_role("link", name="Café").click()
        await someone.page.locator(eldest).wait_for()
    await nora.is_live()

    await city.system.done(AcceptOrder(order_id=orders[0]["order_id"], caller=STAFF))

    await nora.page.locator(eldest).get_by_text("Accepted", exact=True).wait_for()
    assert "after=" in nora.page.url
