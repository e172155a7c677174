"""A person books with the keyboard alone."""

from playwright.async_api import Locator, expect

from tests.browser.conftest import Visit
from tests.browser.pages import BookingPage, Site

MOST_TABS = 60


async def tab_to(page: BookingPage, target: Locator) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(MOST_TABS):
        await page.page.keyboard.press("Tab")
        if await target.evaluate("element => element === document.activeElement"):
            outline = await target.evaluate("element => getComputedStyle(element).outlineStyle")
            assert outline != "none", "the focus cannot be seen"
            return
    raise AssertionError(f"{target} was not reached with Tab")


async def test_the_keyboard_alone_books(visit: Visit, site: Site) -> None:
    """Tab, Enter and letters are enough, and the focus is always visible and where one works."""
    page = await visit()
    await expect(page.button("First visit 45 minutes")).to_be_visible()
    press = page.page.keyboard.press
    await tab_to(page, page.button("First visit 45 minutes"))
    await press("Space")
    await page.see_slots()
    await tab_to(page, page.button("Dr Lee"))
    await press("Enter")
    await expect(page.button("Dr Lee")).to_have_attribute("aria-pressed", "true")
    await page.see_slots()
    await tab_to(page, page.slot("11:00"))
    await press("Enter")
    await expect(page.heading).to_be_focused()
    await tab_to(page, page.name)
    await page.page.keyboard.type("Ada Lovelace")
    await press("Enter")
    await expect(page.done).to_be_visible()
    await expect(page.heading).to_be_focused()
    await tab_to(page, page.button("Book another"))
    assert [each["slot"] for each in await site.appointments()] == [site.slot("11:00")]


async def test_the_focus_stays_on_a_slot_while_others_change(visit: Visit, site: Site) -> None:
    """Live changes around a slot do not take the focus from it."""
    page = await visit(query="&service=first-visit")
    await page.see_slots()
    await page.slot("12:00").focus()
    booked = await site.book("10:00", "room-1")
    await expect(page.slot("10:00")).to_contain_text("taken")
    await expect(page.slot("12:00")).to_be_focused()
    await site.http.delete(f"/api/appointments/{booked['id']}")
    await expect(page.slot("10:00")).not_to_contain_text("taken")
    await expect(page.slot("12:00")).to_be_focused()
