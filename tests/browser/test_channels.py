"""A phone, a browser and a service ask for one slot at the same moment."""

import asyncio

import httpx
import nats
from playwright.async_api import Browser, expect

from tests.browser.pages import SCHEDULES, Look, Site, open_page
from tests.callers import NatsCaller
from tests.integration import texting
from tests.servers import Servers
from tests.slots import fresh_site


async def test_one_of_three_channels_gets_the_slot_and_two_are_told_kindly(
    browser: Browser, servers: Servers
) -> None:
    """The phone reads other times, the browser reads the next free ones, the service gets a 409."""
    name = fresh_site()
    with servers.new_stack(**texting.settings(name)) as stack:
        stack.up(booking_workers=2)
        connection = await nats.connect(stack.env["NATS_URL"])
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as http:
            site, phone, service = Site(http, name), texting.Phone(http), NatsCaller(connection)
            await site.store("dr-lee", SCHEDULES["dr-lee"] | {"services": []})
            page = await open_page(browser, stack.url, site, Look(), "")
            _, month, day = site.day.split("-")
            assert "09:00" in await phone.text(f"{month}/{day}")
            await expect(page.slot("09:00")).to_be_visible()
            body = {"slot": site.slot("09:00"), "site": name, "resources": ["dr-lee"], "patientName": "Ida"}

            async def by_page() -> bool:
                await page.slot("09:00").click()
                await expect(page.held.or_(page.alert)).to_be_visible()
                return await page.held.is_visible()

            text, is_page, direct = await asyncio.gather(
                phone.text("1"), by_page(), service.book_until_done(body)
            )
            is_phone = text.startswith("Held")
            assert sum((is_phone, is_page, direct.status == 201)) == 1
            if is_phone:
                assert (await phone.text("Ada")).startswith("Booked")
            else:
                assert "10:00" in text
            if is_page:
                await page.book("Grace")
            else:
                await expect(page.alert).to_contain_text("Free next: 10:00")
            assert direct.status in (201, 409)
            assert [each["slot"] for each in await site.appointments()] == [site.slot("09:00")]
            await page.close()
        await connection.close()
