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
    """Write pictures of the slots, of which others take some, a checkout on a phone, a day and a race."""
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
        await day(browser, http, url, free[1])
        await race(browser, url)
        await phone.go_back()
        await expect(phone.get_by_role("timer")).to_have_count(0)
        for id in booked:
            await http.delete(f"/appointments/{id}")
        await browser.close()


async def day(browser: Browser, http: httpx.AsyncClient, url: str, slot: str) -> None:
    """Write a picture of the receptionist's day, with some more appointments."""
    booked: list[str] = []
    people = (("Alan Turing", "dr-khan", 1), ("Mary Seacole", "dr-lee", 3), ("Edsger Dijkstra", "dr-khan", 6))
    for name, doctor, number in people:
        query = {
            "site": "demo",
            "service": "check-up",
            "resource": doctor,
            "from": slot,
            "to": f"{slot[:10]}T23:00Z",
        }
        free = (await http.get("/free-slots", params=query)).json()["free"]
        booked.append(await book(http, free[number]["slot"], name, doctor, "check-up"))
    await http.patch(f"/appointments/{booked[0]}", json={"attendance": "arrived"})
    page = await new_page(browser, width=1100, height=1000, color_scheme="light")
    await page.goto(f"{url}/day/demo?date={slot[:10]}")
    await expect(page.locator(".ec-event", has_text="Edsger")).to_be_visible()
    await save(page, "day")
    for id in booked:
        await http.delete(f"/appointments/{id}")
    await page.close()


async def race(browser: Browser, url: str) -> None:
    """Write a picture of a race for one slot."""
    page = await new_page(browser, width=820, height=820, color_scheme="light")
    await page.goto(f"{url}/proof")
    await page.get_by_role("button").click()
    await expect(page.locator(".verdict")).to_contain_text("Exactly one")
    await save(page, "proof")
    await page.close()


async def open_page(
    browser: Browser, url: str, *, width: int, height: int, scale: float = 1, **look: Any
) -> Page:
    page = await new_page(browser, width=width, height=height, scale=scale, **look)
    await page.goto(f"{url}/book/demo?service=first-visit&doctor=dr-lee")
    await expect(page.locator(".slot").first).to_be_visible()
    return page


async def new_page(browser: Browser, *, width: int, height: int, scale: float = 1, **look: Any) -> Page:
    return await browser.new_page(
        locale="en-GB",
        timezone_id="Europe/Berlin",
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        reduced_motion="reduce",
        **look,
    )


async def window(page: Page) -> dict[str, Any]:
    """Return the query of the day that a page shows."""
    slots = await page.locator(".slot").evaluate_all("slots => slots.map((slot) => slot.dataset.slot)")
    last = slots[-1].replace(":00.000Z", ":01.000Z")
    return {**VISIT, "resource": "dr-lee", "any": 1, "from": slots[0], "to": last}


async def book(
    http: httpx.AsyncClient,
    slot: str,
    name: str = "Grace Hopper",
    doctor: str = "dr-lee",
    service: str = "first-visit",
) -> str:
    body = {**VISIT, "service": service, "resources": [doctor], "slot": slot, "patientName": name}
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
