"""Make the README's pictures on a running stack: python -m tests.browser.screenshots."""

import argparse
import asyncio
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, Page, async_playwright, expect

PICTURES = Path(__file__).parents[2] / "gateway" / "web" / "pictures"
LARGEST_BYTES = 150_000
VISIT = {"site": "demo", "service": "first-visit"}


async def main(url: str) -> None:
    """Write a picture of the slots, of which others take some, and one of the checkout on a phone."""
    async with async_playwright() as playwright, httpx.AsyncClient(base_url=f"{url}/api") as http:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        slots = await open_page(browser, url, width=820, height=1000, color_scheme="light")
        phone = await open_page(browser, url, width=390, height=844, color_scheme="dark", scale=1.5)
        free = [
            slot["slot"]
            for slot in (await http.get("/free-slots", params=await window(slots))).json()["free"]
        ]
        booked = [await book(http, slot) for slot in (free[1], free[-4])]
        await expect(slots.locator("[data-gone]").first).to_be_visible()
        await save(slots, "slots")
        await phone.locator(".slot:not([data-gone])").nth(3).click()
        await expect(phone.get_by_role("timer")).to_be_visible()
        await phone.locator("#name").fill("Ada Lovelace")
        await save(phone, "checkout")
        await phone.go_back()
        await expect(phone.get_by_role("timer")).to_have_count(0)
        for id in booked:
            await http.delete(f"/appointments/{id}")
        await browser.close()


async def open_page(
    browser: Browser, url: str, *, width: int, height: int, scale: float = 1, **look: Any
) -> Page:
    page = await browser.new_page(
        locale="en-GB",
        timezone_id="Europe/Berlin",
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        reduced_motion="reduce",
        **look,
    )
    await page.goto(f"{url}/book/demo?service=first-visit&doctor=dr-lee")
    await expect(page.locator(".slot").first).to_be_visible()
    return page


async def window(page: Page) -> dict[str, Any]:
    """Return the query of the day that a page shows."""
    slots = await page.locator(".slot").evaluate_all("slots => slots.map((slot) => slot.dataset.slot)")
    last = slots[-1].replace(":00.000Z", ":01.000Z")
    return {**VISIT, "resource": "dr-lee", "any": 1, "from": slots[0], "to": last}


async def book(http: httpx.AsyncClient, slot: str) -> str:
    body = {**VISIT, "resources": ["dr-lee"], "slot": slot, "patientName": "Grace Hopper"}
    answer = await http.post("/book-appointment", json=body)
    id: str = answer.raise_for_status().json()["appointment"]["id"]
    return id


async def save(page: Page, name: str) -> None:
    file = PICTURES / f"{name}.png"
    await page.screenshot(path=file)
    assert file.stat().st_size < LARGEST_BYTES, f"{file} is too large"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__)
    parser.add_argument("--url", default="http://localhost:3000", help="of the running stack")
    asyncio.run(main(parser.parse_args().url))
