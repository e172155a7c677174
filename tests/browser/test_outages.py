"""The checkout survives a restart of the gateway, and tells the truth about a hold that ran out."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Browser, expect

from tests.browser.conftest import Visit
from tests.browser.pages import Site
from tests.servers import Servers
from tests.stack import Stack, wait_until

HOLD_SECONDS, MOST_SECONDS = 12, 16


@pytest.fixture
def stack(browser: Browser, servers: Servers) -> Iterator[Stack]:
    """Start a deployment that a test may break, whose holds are short."""
    with servers.new_stack(SOFT_HOLD_SECONDS=str(HOLD_SECONDS), HOLD_MAX_SECONDS=str(MOST_SECONDS)) as stack:
        yield stack.up(booking_workers=1)


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
        yield client


async def test_a_hold_runs_out_and_a_restarted_gateway_finishes_a_booking(
    visit: Visit, site: Site, stack: Stack
) -> None:
    """A hold is extended as often as it may be, ends, and is taken again; then the gateway dies."""
    page = await visit(query="&service=first-visit")
    await page.see_slots()
    await page.hold("10:00")
    more = page.button("More time")
    await more.click()
    await expect(page.held).to_have_text(re.compile("^0:0[1-5]$"))
    await more.click()
    await expect(page.page.locator(".checkout [role=alert]")).to_have_text(
        "This time cannot be held any longer."
    )
    await page.name.fill("Ada Lovelace")
    await expect(page.heading).to_have_text("Your time is over")
    while await site.taken():  # noqa: ASYNC110 - the end of a hold has no event
        await asyncio.sleep(0.05)
    other = await visit(query="&service=first-visit")
    await other.see_slots()
    await expect(other.slot("10:00")).to_contain_text("free")
    await page.button("Hold it again").click()
    await expect(page.held).to_be_visible()
    await expect(page.name).to_have_value("Ada Lovelace")

    gateway = next(service for service in stack.services if service.kind == "gateway")
    gateway.kill()
    await page.submit.click()
    await expect(page.page.locator(".checkout [role=alert]")).to_contain_text("No connection")
    stack.services.remove(gateway)
    stack.start("gateway", PORT=str(urlsplit(stack.url).port))
    await expect(page.done).to_be_visible()
    wait_until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 200, "the gateway is ready")
    assert [each["patientName"] for each in await site.appointments()] == ["Ada Lovelace"]
