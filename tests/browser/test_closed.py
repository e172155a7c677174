"""The pages of a gateway with keys: the publishable key of the page, patients' links, and embedding."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from playwright.async_api import expect

from deploy.local.ports import free_port
from gateway.access.links import new_link_key, write_link_keys
from tests.browser.conftest import Visit
from tests.browser.pages import SCHEDULES, BookingPage, Site
from tests.keys import KeyFile
from tests.stack import Stack, wait_until


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    return KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")


class Host:
    """Another web site, which embeds the page of a site."""

    def __init__(self, folder: Path) -> None:
        handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.folder = folder
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(tmp_path_factory.mktemp("host"))
    yield host
    host.close()


@pytest.fixture(scope="module")
def closed(stack: Stack, key_file: KeyFile, host: Host, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Start one more gateway, which has keys; return its address."""
    links, port = tmp_path_factory.mktemp("links") / "links.json", free_port()
    write_link_keys(links, [new_link_key()])
    key = key_file.new("book", "hold", kind="publishable")
    stack.start(
        "gateway",
        PORT=str(port),
        API_KEYS_FILE=str(key_file.path),
        LINK_KEYS_FILE=str(links),
        ALLOWED_ORIGINS=host.origin,
        PAGE_KEY=key,
    )
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200, "the gateway is ready")
    return url


async def booked_page(visit: Visit, closed: str) -> BookingPage:
    page = await visit(query="&service=first-visit", url=closed)
    await page.see_slots()
    await page.hold("10:00")
    await page.book()
    return page


async def test_a_patient_books_moves_and_cancels_by_a_link(visit: Visit, site: Site, closed: str) -> None:
    """The page's key books; the link moves the appointment at once, from its own day on, and cancels it."""
    page = await booked_page(visit, closed)
    sent: list[str] = []
    page.page.on("request", lambda request: sent.append(request.url.partition("#")[0]))
    await page.manage.click()
    await expect(page.page.get_by_text("Ada Lovelace")).to_be_visible()
    assert "#ml_" in page.page.url
    assert not any("ml_" in url for url in sent)
    await page.button("Move").click()
    await page.slot("15:00").click()
    await expect(page.alert).to_contain_text("Your appointment was moved.")
    (moved,) = await site.appointments()
    assert (moved["slot"], moved["version"], moved["resources"][-1]) == (site.slot("15:00"), 2, "room-1")
    await page.button("Cancel appointment").click()
    await page.button("No, keep it").click()
    await page.button("Cancel appointment").click()
    await page.button("Yes, cancel it").click()
    await expect(page.alert).to_contain_text("Your appointment is cancelled.")
    assert await site.appointments() == []


async def test_a_confirmation_stays_in_its_tab_until_another_booking(
    visit: Visit, site: Site, closed: str
) -> None:
    """A reload and Back show the appointment as it stands, with its only link; no name is stored."""
    page = await booked_page(visit, closed)
    await page.page.reload()
    await expect(page.done).to_contain_text("10:00")
    assert "Ada" not in await page.page.evaluate("JSON.stringify(sessionStorage)")
    await page.manage.click()
    await page.button("Move").click()
    await page.slot("15:00").click()
    await expect(page.alert).to_contain_text("Your appointment was moved.")
    await page.page.go_back()
    await expect(page.done).to_contain_text("15:00")
    await page.button("Book another").click()
    await page.see_slots()
    await page.page.reload()
    await page.see_slots()
    await expect(page.done).to_have_count(0)


async def test_a_booking_can_be_saved_for_a_calendar(visit: Visit, site: Site, closed: str) -> None:
    """The file has the appointment; it comes by the patient's link, without a key that may read."""
    page = await booked_page(visit, closed)
    async with page.page.expect_download() as started:
        await page.page.get_by_role("link", name="Add to calendar").click()
    download = await started.value
    (booked,) = await site.appointments()
    assert download.suggested_filename == f"{booked['id'][:8].upper()}.ics"
    text = (await asyncio.to_thread(Path(await download.path()).read_bytes)).decode()
    assert text.startswith("BEGIN:VCALENDAR")
    assert booked["id"] in text


async def test_after_the_cut_off_the_page_sends_patients_to_the_phone(
    visit: Visit, site: Site, closed: str
) -> None:
    """A patient who wants to cancel too late is told so, and keeps the appointment."""
    for resource, schedule in SCHEDULES.items():
        await site.store(resource, {**schedule, "cutOffMinutes": 7 * 24 * 60})
    page = await booked_page(visit, closed)
    await page.manage.click()
    await page.button("Cancel appointment").click()
    await page.button("Yes, cancel it").click()
    await expect(page.alert).to_contain_text("It is too late to change this appointment online.")
    assert len(await site.appointments()) == 1


async def test_a_move_to_a_slot_that_is_gone_keeps_the_appointment(
    visit: Visit, site: Site, closed: str
) -> None:
    """Somebody is faster than the move: the page says that nothing has changed, and what is free."""
    page = await booked_page(visit, closed)
    await page.manage.click()
    await page.page.route("**/api/live?*", lambda route: route.abort())
    await page.button("Move").click()
    await page.page.locator(f'[data-day="{site.day}"]').click()
    await expect(page.slot("15:00")).to_be_visible()
    await site.book("15:00", "room-1")
    await page.slot("15:00").click()
    await expect(page.alert).to_contain_text("Somebody was faster. Your appointment stays as it is.")
    await expect(page.alert).to_contain_text("Free next: 16:00, 17:00")
    await page.alert.get_by_role("button", name="16:00").click()
    await expect(page.alert).to_contain_text("Your appointment was moved.")


async def test_a_wrong_link_opens_nothing(visit: Visit, site: Site, closed: str) -> None:
    """A link whose secret is wrong or missing says so, and shows no name."""
    page = await booked_page(visit, closed)
    (booked,) = await site.appointments()
    for secret in ("", "#ml_x_" + 43 * "A"):
        await page.page.goto("about:blank")
        await page.page.goto(f"{closed}/appointments/{booked['id']}{secret}")
        await expect(page.alert).to_contain_text("This link is not")
        await expect(page.page.get_by_text("Ada Lovelace")).to_have_count(0)


async def test_without_a_page_key_patients_and_operators_read_why(
    visit: Visit, site: Site, stack: Stack, key_file: KeyFile, closed: str
) -> None:
    """The pages say that nothing is set up; the console names PAGE_KEY. A bad link stays a bad link."""
    port = free_port()
    stack.start("gateway", PORT=str(port), API_KEYS_FILE=str(key_file.path))
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200, "the gateway is ready")
    page = await visit()
    hints: list[str] = []
    page.page.on("console", lambda message: hints.append(message.text))
    for path in ("", f"book/{site.name}"):
        hints.clear()
        await page.page.goto(f"{url}/{path}")
        await expect(page.page.get_by_role("alert")).to_have_text(
            "Online booking is not set up here yet. Please phone us instead."
        )
        assert any("PAGE_KEY" in hint for hint in hints)
    await page.page.goto(f"{url}/appointments/{uuid4()}#ml_x_{43 * 'A'}")
    await expect(page.alert).to_contain_text("This link is not valid")


async def test_leaving_releases_a_hold_that_was_placed_with_a_key(
    visit: Visit, site: Site, closed: str
) -> None:
    """The release of a left page has the page's key too."""
    page = await visit(query="&service=first-visit", url=closed)
    other = await visit(query="&service=first-visit")
    await other.see_slots()
    await page.see_slots()
    await page.hold("10:00")
    await expect(other.slot("10:00")).to_contain_text("being booked")
    await page.page.goto("about:blank")
    await expect(other.slot("10:00")).not_to_contain_text("being booked")


async def test_another_site_embeds_the_page_by_one_script(
    visit: Visit, site: Site, closed: str, host: Host, stack: Stack
) -> None:
    """A page of ALLOWED_ORIGINS shows the patient's page in a frame of its height; others cannot."""
    page = await visit()
    for name, url in (("allowed", closed), ("refused", stack.url)):
        script = f'<script src="{url}/web/embed.js" data-site="{site.name}" data-lang="de"></script>'
        (host.folder / f"{name}.html").write_text(
            f"<!doctype html><title>Clinic</title><h1>Clinic</h1>{script}"
        )
    await page.page.goto(f"{host.origin}/allowed.html")
    frame = page.page.frame_locator("iframe")
    await frame.get_by_role("button", name="First visit").click()
    await frame.locator(".slot").first.click()
    await expect(frame.locator(".stage h2")).to_have_text("Für Sie reserviert")
    await frame.locator("#name").fill("Ada")
    await frame.locator("form .primary").click()
    await expect(frame.locator(".done")).to_be_visible()
    fits = "frame => frame.clientHeight < 600"
    await page.page.wait_for_function(f"({fits})(document.querySelector('iframe'))")
    await page.page.goto(f"{host.origin}/refused.html")
    await page.page.wait_for_load_state()
    await expect(page.page.frame_locator("iframe").get_by_text("Termin buchen")).to_have_count(0)
