"""One Chromium and one deployment for all tests in a browser; each test has a site of its own."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx
import pytest
from playwright.async_api import Browser, async_playwright

from tests.browser.pages import BookingPage, Look, Site, open_page
from tests.servers import Servers
from tests.stack import Stack

Visit = Callable[..., Awaitable[BookingPage]]


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Start Debian's Chromium, once."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not on PATH; on Debian: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def stack(browser: Browser, servers: Servers) -> Iterator[Stack]:
    """Start a gateway and a worker of each kind."""
    with servers.new_stack(DEMO_PAGES="true") as stack:
        yield stack.up(booking_workers=1)


@pytest.fixture(scope="session")
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
        yield client


@pytest.fixture
async def site(http: httpx.AsyncClient) -> Site:
    """A site of two doctors and a room that are open all day, every day."""
    return await Site.new(http)


@pytest.fixture
async def visit(browser: Browser, stack: Stack, site: Site) -> AsyncIterator[Visit]:
    """Open the patient's page of the site, as another person each time."""
    opened: list[BookingPage] = []

    async def visit(look: Look | None = None, *, query: str = "", url: str = "") -> BookingPage:
        page = await open_page(browser, url or stack.url, site, look or Look(), query)
        opened.append(page)
        return page

    yield visit
    for page in opened:
        await page.close()
