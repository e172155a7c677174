"""What a person sees and does on the patient's page."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

import httpx
from playwright.async_api import Browser, Locator, Page, expect

from tests.slots import fresh_site

ZONE = ZoneInfo("Europe/Berlin")
ALL_DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ROOM = "room-1"
SERVICES = [
    {
        "id": "first-visit",
        "title": "First visit",
        "durationMinutes": 45,
        "bufferAfter": 10,
        "resources": [ROOM],
    },
    {"id": "check-up", "title": "Check-up", "durationMinutes": 20},
]
SCHEDULES: dict[str, dict[str, Any]] = {
    "dr-lee": {"title": "Dr Lee", "services": SERVICES},
    "dr-khan": {"title": "Dr Khan", "services": SERVICES},
    ROOM: {"title": "Room 1"},
}
RULES = {
    "timeZone": ZONE.key,
    "weekly": [{"days": ALL_DAYS, "from": "09:00", "to": "18:00"}],
    "stepMinutes": 60,
    "horizonDays": 30,
    "enforced": True,
}
NARROW = {"width": 320, "height": 640}
WAIT_MS = 15_000
expect.set_options(timeout=WAIT_MS)


@dataclass
class Site:
    """A site, and the day on which its tests book: all of its slots are ahead."""

    http: httpx.AsyncClient
    name: str = field(default_factory=fresh_site)
    day: str = field(default_factory=lambda: (datetime.now(ZONE) + timedelta(days=3)).strftime("%Y-%m-%d"))

    @classmethod
    async def new(cls, http: httpx.AsyncClient) -> Self:
        """Store the schedules of two doctors and a room."""
        site = cls(http)
        for resource, schedule in SCHEDULES.items():
            await site.store(resource, schedule)
        return site

    async def store(self, resource: str, schedule: dict[str, Any]) -> None:
        answer = await self.http.put(f"/api/schedules/{self.name}/{resource}", json={**RULES, **schedule})
        assert answer.status_code == 200, answer.text

    def slot(self, time: str) -> str:
        """Return the slot at a time of the wall clock, such as 10:00."""
        local = datetime.fromisoformat(f"{self.day}T{time}").replace(tzinfo=ZONE)
        return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    async def book(self, time: str, *resources: str, name: str = "Grace Hopper") -> dict[str, Any]:
        """Book over HTTP, as another caller would."""
        body = {"site": self.name, "slot": self.slot(time), "patientName": name, "resources": resources}
        answer = await self.http.post("/api/book-appointment", json={**body, "durationMinutes": 45})
        assert answer.status_code == 201, answer.text
        booked: dict[str, Any] = answer.json()["appointment"]
        return booked

    def _window(self) -> dict[str, str]:
        day = datetime.fromisoformat(self.day).replace(tzinfo=ZONE)
        return {"site": self.name, "from": day.isoformat(), "to": (day + timedelta(days=1)).isoformat()}

    async def appointments(self) -> list[dict[str, Any]]:
        """Return what is booked on the day."""
        answer = await self.http.get("/api/appointments", params=self._window())
        found: list[dict[str, Any]] = answer.json()["appointments"]
        return found

    async def taken(self) -> list[dict[str, Any]]:
        """Return what is booked or held on the day."""
        found: list[dict[str, Any]] = (await self.http.get("/api/slots", params=self._window())).json()[
            "taken"
        ]
        return found


@dataclass(frozen=True)
class Look:
    """How a person sees a page."""

    locale: str = "en-GB"
    scheme: Literal["light", "dark"] = "light"
    zone: str = ZONE.key
    width: int = 1000


@dataclass
class BookingPage:
    """The patient's page in a browser of its own."""

    page: Page
    site: Site
    errors: list[str] = field(default_factory=list)

    @property
    def heading(self) -> Locator:
        return self.page.locator(".stage h2")

    @property
    def alert(self) -> Locator:
        return self.page.locator(".status [role=alert]")

    @property
    def announced(self) -> Locator:
        """What people with screen readers were told last."""
        return self.page.locator("body > [role=status]")

    @property
    def held(self) -> Locator:
        """The countdown of a held slot."""
        return self.page.get_by_role("timer")

    @property
    def done(self) -> Locator:
        return self.page.locator(".done")

    @property
    def manage(self) -> Locator:
        return self.page.get_by_role("link", name="Move or cancel")

    @property
    def name(self) -> Locator:
        return self.page.locator("#name")

    @property
    def submit(self) -> Locator:
        return self.page.locator("form .primary")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def slot(self, time: str) -> Locator:
        return self.page.locator(f'[data-slot="{self.site.slot(time)}"]')

    async def see_slots(self) -> None:
        await expect(self.slot("10:00")).to_be_visible()

    async def see_slots_of_any_day(self) -> None:
        await expect(self.page.locator(".slot").first).to_be_visible()

    async def hold(self, time: str) -> None:
        """Choose a slot, and wait until it is held."""
        await self.slot(time).click()
        await expect(self.held).to_be_visible()

    async def book(self, name: str = "Ada Lovelace") -> None:
        """Book the held slot, and wait until that is done."""
        await self.name.fill(name)
        await self.submit.click()
        await expect(self.done).to_be_visible()

    async def close(self) -> None:
        """Close the browser of this person; no script of the page may have failed."""
        await self.page.context.close()
        assert self.errors == []


async def open_page(browser: Browser, url: str, site: Site, look: Look, query: str) -> BookingPage:
    """Open the patient's page, on the day of the site."""
    context = await browser.new_context(
        locale=look.locale,
        timezone_id=look.zone,
        color_scheme=look.scheme,
        viewport={"width": look.width, "height": 900},
        reduced_motion="reduce",
    )
    context.set_default_timeout(WAIT_MS)
    page = BookingPage(await context.new_page(), site)
    page.page.on("pageerror", lambda error: page.errors.append(str(error)))
    await page.page.goto(f"{url}/book/{site.name}?day={site.day}{query}")
    return page
