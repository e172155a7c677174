"""The phone for text messages on `/sms`: a conversation with the keyboard alone, without findings of axe."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.async_api import Browser, Page, Request, expect

from tests.browser.pages import Site
from tests.browser.test_states import audit
from tests.integration import texting
from tests.servers import Servers
from tests.slots import fresh_site


@pytest.fixture
async def phone(browser: Browser, servers: Servers) -> AsyncIterator[tuple[Page, Site]]:
    """Open the page of a gateway with two numbers, in German."""
    name = fresh_site()
    with servers.new_stack(**texting.settings(name, DEMO_PAGES="true")) as stack:
        stack.up(booking_workers=1)
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as http:
            site = Site(http, name)
            await site.store("dr-lee", {"title": "Dr Lee", "stepMinutes": 30})
            context = await browser.new_context(locale="de-DE", reduced_motion="reduce")
            page, errors = await context.new_page(), list[str]()
            page.on("pageerror", lambda error: errors.append(str(error)))
            await page.goto(f"{stack.url}/sms")
            yield page, site
            await context.close()
            assert errors == []


async def test_a_person_books_on_the_simulated_phone(phone: tuple[Page, Site]) -> None:
    """With the keyboard alone: a list, a hold, a booking, STOP; each reply is announced."""
    page, site = phone
    replies, field = page.locator(".texts .practice"), page.get_by_label("Nachricht")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Termin per SMS")
    await audit(page, "an empty phone")
    await field.focus()
    for number, (text, reply) in enumerate(
        (("Hallo", "Freie Termine:"), ("1", "Min. reserviert"), ("Ada Lovelace", "Gebucht:"))
    ):
        await page.keyboard.type(text)
        await page.keyboard.press("Enter")
        await expect(replies.nth(number)).to_contain_text(reply)
        await expect(page.locator("p[role=status]")).to_contain_text(reply)
        await expect(field).to_be_focused()
    await page.keyboard.type("STOP")
    await page.keyboard.press("Enter")
    await expect(page.locator(".texts .note")).to_contain_text("Keine Antwort")
    await audit(page, "a conversation")
    begins = datetime.now(UTC).replace(microsecond=0)
    window = {"from": begins.isoformat(), "to": (begins + timedelta(days=7)).isoformat()}
    found = await site.http.get("/api/appointments", params={"site": site.name, **window})
    (booked,) = found.json()["appointments"]
    assert booked["patientName"] == "Ada Lovelace"
    assert booked["contact"].startswith("+49151")


async def test_a_text_that_was_not_delivered_is_sent_again_once(phone: tuple[Page, Site]) -> None:
    """Offline, the text stays in the field; the second attempt has the same id, and gets one reply."""
    page, _ = phone
    field = page.get_by_label("Nachricht")
    ids: list[str] = []

    def note(sent: Request) -> None:
        if sent.method == "POST":
            ids.append(json.loads(sent.post_data or "")["id"])

    page.on("request", note)
    await page.route("**/sms/texts", lambda route: route.abort(), times=1)
    await field.fill("Hallo")
    await field.press("Enter")
    await expect(page.locator(".texts .note")).to_contain_text("Nicht zugestellt")
    await expect(field).to_have_value("Hallo")
    await field.press("Enter")
    await expect(page.locator(".texts .practice")).to_have_count(1)
    assert len(ids) == 2
    assert len(set(ids)) == 1
