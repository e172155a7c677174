"""What a receptionist sees and does on the page of the day."""

from dataclasses import dataclass, field
from typing import Literal

from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.pages import WAIT_MS, Look, Site

View = Literal["grid", "table"]
HOUR_PX, TOP_PX = 4 * 28, 10
FIRST_HOUR = 8.5


@dataclass
class DayPage:
    """The page of the day in a browser of its own."""

    page: Page
    site: Site
    errors: list[str] = field(default_factory=list)

    @property
    def message(self) -> Locator:
        """The sentence about the last change."""
        return self.page.locator(".message")

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    def row(self, text: str) -> Locator:
        return self.page.get_by_role("row").filter(has_text=text)

    def event(self, text: str) -> Locator:
        """The event of an appointment in the grid."""
        return self.page.locator(".ec-event:not(.ec-preview)", has_text=text).first

    async def point(self, resource: str, hour: int) -> tuple[float, float]:
        """Return where an hour of a resource is in the grid."""
        titles = await self.page.locator(".ec-col-head").all_inner_texts()
        column = await self.page.locator(".ec-body .ec-day").nth(titles.index(resource)).bounding_box()
        assert column
        return column["x"] + column["width"] / 2, column["y"] + (hour - FIRST_HOUR) * HOUR_PX + TOP_PX

    async def click_gap(self, resource: str, hour: int) -> None:
        await self.page.mouse.click(*await self.point(resource, hour))
        await expect(self.dialog).to_be_visible()

    async def drag(self, text: str, resource: str, hour: int) -> None:
        """Drag the event of an appointment to an hour of a resource."""
        box = await self.event(text).bounding_box()
        assert box
        mouse = self.page.mouse
        await mouse.move(box["x"] + box["width"] / 2, box["y"] + TOP_PX)
        await mouse.down()
        await mouse.move(*await self.point(resource, hour), steps=10)
        await mouse.up()

    async def fill(self, **fields: str) -> None:
        """Fill fields of the dialog by their labels."""
        for label, value in fields.items():
            await self.dialog.get_by_label(label, exact=True).fill(value)

    async def say(self, text: str) -> None:
        """Wait until the message has a text."""
        await expect(self.message).to_contain_text(text)

    async def close(self) -> None:
        """Close the browser of this person; no script of the page may have failed."""
        await self.page.context.close()
        assert self.errors == []


async def open_day(
    browser: Browser, url: str, site: Site, *, look: Look | None = None, view: View = "table", part: str = ""
) -> DayPage:
    """Open the day of a site."""
    look = look or Look(width=1300)
    context = await browser.new_context(
        locale=look.locale,
        timezone_id=look.zone,
        color_scheme=look.scheme,
        viewport={"width": look.width, "height": 1300},
        reduced_motion="reduce",
    )
    context.set_default_timeout(WAIT_MS)
    day = DayPage(await context.new_page(), site)
    day.page.on("pageerror", lambda error: day.errors.append(str(error)))
    await day.page.goto(f"{url}/day/{site.name}?date={site.day}{part}")
    if not part:
        shown = day.page.get_by_role("group", name="View")
        await shown.get_by_role("button", name=view.title()).click()
    return day
