"""Every state of the pages is accessible, in both colour schemes and languages, and fits a small phone."""

from typing import Any, Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, Response, expect

from tests.browser.conftest import Visit
from tests.browser.pages import NARROW, Look, Site
from tests.stack import Stack

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Only colours differ between the schemes.
RULES: dict[Literal["light", "dark"], dict[str, Any]] = {
    "light": {"type": "tag", "values": WCAG},
    "dark": {"type": "rule", "values": ["color-contrast"]},
}
AXE = Axe()
# axe leaves out disabled buttons, and the busy one is to be read.
CONTRAST = """button => {
  const style = getComputedStyle(button);
  const [text, ground] = [style.color, style.backgroundColor].map(color => {
    const [red, green, blue] = color.match(/[0-9.]+/g).map(part => part / 255)
      .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
  });
  return Math.max(text, ground) / Math.min(text, ground);
}"""


async def audit(page: Page, state: str) -> None:
    """Assert that a state has no finding of axe in both schemes, and no horizontal scroll at 320 px."""
    for scheme, rules in RULES.items():
        await page.emulate_media(color_scheme=scheme)
        results = await AXE.run(page, options={"runOnly": rules})
        assert results.violations_count == 0, f"{state}, {scheme}: {results.generate_report()}"
    viewport = page.viewport_size
    assert viewport
    await page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    assert await page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], state
    await page.set_viewport_size(viewport)


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
async def test_every_state_of_the_pages_is_accessible(
    visit: Visit, site: Site, stack: Stack, locale: str
) -> None:
    """From the choice of a service to a cancelled appointment, axe finds nothing to mend."""
    page = await visit(Look(locale=locale))
    services = page.page.locator(".choices button")
    await expect(services.first).to_be_visible()
    await audit(page.page, "services")
    await services.first.click()
    await page.see_slots()
    await site.book("12:00", "room-1")
    await expect(page.slot("12:00")).to_have_attribute("aria-disabled", "true")
    await audit(page.page, "slots")

    await page.page.route("**/api/live?*", lambda route: route.abort())
    await page.page.reload()
    await page.see_slots()
    await site.book("10:00", "room-1")
    await page.slot("10:00").click()
    await expect(page.alert).to_be_visible()
    await audit(page.page, "somebody was faster")
    await page.page.unroute("**/api/live?*")

    await page.hold("11:00")
    await page.submit.click()
    await audit(page.page, "held")
    await page.page.route("**/api/book-appointment", lambda route: route.abort())
    await page.name.fill("Ada")
    await page.submit.click()
    await expect(page.page.locator(".checkout [role=alert]")).not_to_be_empty()
    await audit(page.page, "no connection")
    for scheme in RULES:
        await page.page.emulate_media(color_scheme=scheme)
        assert await page.submit.evaluate(CONTRAST) >= 4.5, scheme
    await page.page.unroute("**/api/book-appointment")
    await expect(page.done).to_be_visible()
    await audit(page.page, "booked")

    await page.page.locator(".done a.button").first.click()
    card = page.page.locator("main .card").first
    await expect(card.locator("dd").first).to_be_visible()
    await audit(page.page, "appointment")
    await card.get_by_role("button").first.click()
    await page.see_slots_of_any_day()
    await audit(page.page, "move")
    await card.locator(".danger").click()
    await audit(page.page, "cancel")
    await page.page.locator("main .card .danger").last.click()
    await expect(page.alert).to_be_visible()
    await audit(page.page, "cancelled")

    await page.page.goto(f"{stack.url}/")
    await expect(page.page.locator(".sites a").first).to_be_visible()
    await audit(page.page, "sites")


async def test_the_patients_page_is_light_and_loads_in_one_round_trip(visit: Visit, stack: Stack) -> None:
    """Page, scripts, styles and texts are under 60 KB, and none of them waits for another one."""
    page = await visit()
    await page.page.goto("about:blank")
    sizes: dict[str, int] = {}
    starts: list[str] = []

    responses: list[Response] = []

    def note(response: Response) -> None:
        starts.append(response.url)
        responses.append(response)

    page.page.on("response", note)
    await page.page.goto(f"{stack.url}/book/{page.site.name}?lang=en")
    await expect(page.page.locator(".choices button").first).to_be_visible()
    for response in responses:
        if "/api/" not in response.url:
            size = await response.request.sizes()
            sizes[response.url] = size["responseBodySize"] + size["responseHeadersSize"]
    assert sum(sizes.values()) < 60_000, sizes
    html = await responses[0].text()
    for url in starts[1:]:
        assert url.removeprefix(stack.url) in html.replace("../", "/"), f"{url} is not named by the page"
