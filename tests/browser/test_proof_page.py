"""A race for one slot, drawn by a browser."""

from pathlib import Path

from playwright.async_api import Browser, expect

from tests.browser.pages import WAIT_MS
from tests.browser.test_day import known, start_gateway
from tests.browser.test_states import audit
from tests.keys import KeyFile
from tests.stack import Stack


async def test_of_many_rivals_in_a_browser_one_is_green(browser: Browser, stack: Stack) -> None:
    """One rival is booked, all others are told that it is taken; repeatable, by the keyboard, accessible."""
    page = await browser.new_page(reduced_motion="reduce", locale="en-GB")
    page.set_default_timeout(WAIT_MS)
    await page.goto(f"{stack.url}/proof")
    await page.get_by_label("Rivals").select_option("25")
    start = page.get_by_role("button", name="Start the race")
    await start.focus()
    for _ in range(2):
        await page.keyboard.press("Enter")
        await expect(page.locator(".verdict")).to_contain_text("25 rivals ask")
        await expect(page.locator(".verdict")).to_have_text(
            "Exactly one rival has the slot, and 24 were told that it is taken."
        )
        await expect(page.locator(".won")).to_have_count(1)
        await expect(page.locator(".lost")).to_have_count(24)
        await expect(page.locator("[data-count=stored]")).to_have_text("1")
        await expect(start).to_have_attribute("aria-disabled", "false")
    await audit(page, "the end of a race")
    await page.close()


async def test_a_wrong_count_is_not_called_a_proof(browser: Browser, stack: Stack) -> None:
    """If the service had stored two appointments, the page would say that the promise is broken."""
    page = await browser.new_page(locale="en-GB")
    twice = {"appointments": [{"id": "a"}, {"id": "b"}]}
    await page.route("**/api/appointments?*", lambda route: route.fulfill(json=twice))
    await page.goto(f"{stack.url}/proof")
    await page.get_by_label("Rivals").select_option("10")
    await page.get_by_role("button", name="Start the race").click()
    await expect(page.locator(".verdict")).to_contain_text("This should not be")
    await page.close()


async def test_a_race_asks_for_a_key_that_can_read(browser: Browser, stack: Stack, tmp_path: Path) -> None:
    """The key of the pages books, but reads nothing: the page asks for another one before it books."""
    keys = KeyFile(tmp_path / "keys.json")
    url = start_gateway(stack, keys, PAGE_KEY=keys.new("book", "hold", kind="publishable"))
    page = await browser.new_page(locale="en-GB")
    page.set_default_timeout(WAIT_MS)
    booked: list[str] = []
    page.on("request", lambda request: booked.append(request.url) if request.method == "POST" else None)
    await page.goto(f"{url}/proof")
    await page.get_by_role("button", name="Start the race").click()
    await expect(page.get_by_label("Key")).to_be_focused()
    await expect(page.get_by_role("alert")).to_be_empty()
    assert booked == []
    await page.get_by_label("Key").fill(known(url, keys.new("book", "cancel", "read")))
    await page.get_by_role("button", name="Use the key").click()
    await page.get_by_label("Rivals").select_option("10")
    await page.get_by_role("button", name="Start the race").click()
    await expect(page.locator(".verdict")).to_contain_text("Exactly one rival has the slot, and 9 were told")
    await page.close()
