"""Pages on a phone and on a desktop, in both languages, light and dark: accessible and without horizontal overflow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway_api.console.payments import ALL
from tests.console.browser.conftest import MemberPage, OpenBrowser

SCREENSHOTS = os.environ.get("SCREENSHOTS", "")
"""The folder for screenshots of the main pages; empty: none are taken."""

CUSTOMERS = [
    "/",
    "/mine",
    *(f"/{business.slug}" for business in ALL),
    "/bike-sharing/new/top-up",
    "/video-rental/videos",
]
STAFFS = ["/staff", *(f"/{business.slug}" for business in ALL), "/ticketing/new/policy", "/video-rental/new/video"]
OPERATORS = ["/operator", "/operator/story", "/operator/dead-letters"]


@pytest.fixture(scope="module", autouse=True)
async def sample(city, chromium) -> None:
    """Create the sample data with the button that an empty system shows to staff."""
    context = await chromium.new_context(locale="en-US")
    someone = MemberPage(await context.new_page(), city.url)
    await someone.sign_in("choi")
    await someone.go("/staff")
    offer = someone.page.get_by_role("button", name="Put sample data in")
    if await offer.count():
        await offer.click()
        await someone.page.wait_for_url("**/staff?done=sample")
    await context.close()


@pytest.mark.parametrize("language", ["ko-KR", "en-US"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize(
    ("person", "paths"),
    [("", ["/", "/sign-in", "/nowhere"]), ("kim", CUSTOMERS), ("choi", STAFFS), ("jung", OPERATORS)],
)
async def test_each_page_is_accessible_and_fits_its_width(
    arrive: OpenBrowser, person: str, paths: list[str], width: int, language: str
):
    someone = await arrive(person, width=width, language=language, color_scheme="dark" if width == 360 else "light")
    for path in paths:
        await someone.go(path)

        assert await someone.overflow() <= 0, path
        assert await someone.axe() == [], path
        assert await someone.page.locator("html").get_attribute("lang") == language[:2]


async def test_a_booking_can_be_made_by_keyboard(arrive: OpenBrowser):
    someone = await arrive("kim")
    await someone.go("/video-rental")

    await someone.page.keyboard.press("Tab")
    first = await someone.page.evaluate("document.activeElement.textContent")
    await someone.page.keyboard.press("Enter")
    for _ in range(40):
        await someone.page.keyboard.press("Tab")
        if await someone.page.evaluate("document.activeElement.matches('.card a.button')"):
            break
    await someone.page.keyboard.press("Enter")

    assert first == "Skip to content"
    await someone.page.locator("form.sheet").wait_for()


@pytest.mark.skipif(not SCREENSHOTS, reason="only where pictures are wanted")
async def test_pictures_of_the_main_pages(arrive: OpenBrowser):
    folder = Path(SCREENSHOTS)
    kim = await arrive("kim", width=360, language="ko-KR")
    await kim.go("/video-rental")
    await kim.page.locator(".card a.button").first.click()
    await kim.page.screenshot(path=folder / "booking.png")
    await kim.page.locator("form.sheet button").click()
    await kim.page.locator(".timeline li").nth(2).wait_for()
    await kim.page.screenshot(path=folder / "rental.png")
    await kim.go("/mine")
    await kim.page.screenshot(path=folder / "my-things.png")
    staff = await arrive("choi", language="en-US")
    await staff.go("/cafe")
    await staff.page.screenshot(path=folder / "staff.png")
    jung = await arrive("jung", language="en-US", color_scheme="dark")
    await jung.page.locator(".chart canvas").nth(2).wait_for()
    await jung.page.screenshot(path=folder / "operations.png")
