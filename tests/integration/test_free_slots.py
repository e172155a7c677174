"""Free slots: offered by the schedules, neither booked nor held."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.callers import HttpCaller, NatsCaller
from tests.slots import fresh_site

WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
SERVICE = {"id": "visit", "title": "Visit", "durationMinutes": 45, "bufferAfter": 15, "resources": ["room"]}
DAY = {"from": "2031-05-05T00:00:00+02:00", "to": "2031-05-06T00:00:00+02:00"}


def schedule(begin: str = "09:00", end: str = "12:00", **more: Any) -> dict[str, Any]:
    weekly = [{"days": WEEK, "from": begin, "to": end}]
    return {"title": "A", "timeZone": "Europe/Berlin", "weekly": weekly, "stepMinutes": 60, **more}


class Site:
    """A site with schedules."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http, self.name = http, fresh_site()

    async def put(self, resource: str, schedule: dict[str, Any]) -> None:
        stored = await self.http.put(f"/api/schedules/{self.name}/{resource}", json=schedule)
        assert stored.status_code == 200, stored.text

    async def ask(self, path: str = "/api/free-slots", **query: Any) -> httpx.Response:
        asked = {**(DAY if path == "/api/free-slots" else {}), **query, "site": self.name}
        return await self.http.get(path, params=asked)

    async def free(self, **query: Any) -> list[str]:
        """Return the local times of the free slots."""
        answer = await self.ask(**query)
        assert answer.status_code == 200, answer.text
        return [one["local"][11:16] for one in answer.json()["free"]]

    def request(self, time: str, resources: list[str], **more: Any) -> dict[str, Any]:
        slot = f"2031-05-05T{time}:00+02:00"
        return {"slot": slot, "patientName": "Ada", "site": self.name, "resources": resources, **more}


@pytest.fixture
def site(http: httpx.AsyncClient) -> Site:
    return Site(http)


async def test_free_slot_has_its_instant_and_its_local_time(site: Site) -> None:
    """The answer names the slot in UTC and on the wall clock, the duration, and the resources."""
    await site.put("lee", schedule())
    assert (await site.ask(resource="lee", durationMinutes=30)).json() == {
        "site": site.name,
        "free": [
            {
                "slot": f"2031-05-05T0{hour}:00:00.000Z",
                "local": f"2031-05-05T{hour + 2:02}:00:00+02:00",
                "durationMinutes": 30,
                "resources": ["lee"],
            }
            for hour in (7, 8, 9)
        ],
    }


async def test_booked_and_held_slots_are_not_free(site: Site, http_caller: HttpCaller) -> None:
    """A booking and a hold take their slots; a cancel frees its slot."""
    await site.put("lee", schedule())
    booked = await http_caller.book(site.request("09:30", ["lee"], durationMinutes=30))
    assert booked.status == 201
    assert (await http_caller.hold(site.request("11:00", ["lee"]))).status == 200
    assert await site.free(resource="lee", durationMinutes=60) == ["10:00"]
    assert await site.free(resource="lee", durationMinutes=30) == ["09:00", "10:00"]
    await site.http.delete(f"/api/appointments/{booked.body['appointment']['id']}")
    assert await site.free(resource="lee", durationMinutes=60) == ["09:00", "10:00"]


async def test_all_of_several_resources_are_needed(site: Site, http_caller: HttpCaller) -> None:
    """Of several resources, a slot is free only if all are open and free; one without a schedule is open."""
    await site.put("lee", schedule("09:00", "12:00"))
    await site.put("room", schedule("10:00", "14:00"))
    assert await site.free(resource=["lee", "room"]) == ["10:00", "11:00"]
    assert await site.free(resource=["lee", "bed"]) == ["09:00", "10:00", "11:00"]
    assert (await http_caller.book(site.request("10:00", ["bed"]))).status == 201
    assert await site.free(resource=["lee", "bed"]) == ["09:00", "11:00"]


async def test_any_resource_is_named(site: Site, http_caller: HttpCaller) -> None:
    """With `any`, a slot is free if one resource is, and the answer names those that are."""
    await site.put("kim", schedule("09:00", "11:00"))
    await site.put("lee", schedule("10:00", "12:00"))
    assert (await http_caller.book(site.request("09:00", ["kim"]))).status == 201
    for names in (["kim", "lee"], []):
        answer = (await site.ask(resource=names, any=1)).json()
        assert [(one["slot"][11:13], one["resources"]) for one in answer["free"]] == [
            ("08", ["kim", "lee"]),
            ("09", ["lee"]),
        ]


async def test_service_sets_duration_buffers_and_resources(site: Site, http_caller: HttpCaller) -> None:
    """A service needs its duration, its buffers and its other resources to be free."""
    await site.put("lee", schedule(services=[SERVICE], stepMinutes=30))
    answer = (await site.ask(resource="lee", service="visit")).json()
    assert [one["local"][11:16] for one in answer["free"]] == ["09:00", "09:30", "10:00", "10:30", "11:00"]
    assert answer["free"][0]["resources"] == ["lee", "room"]
    assert answer["free"][0]["durationMinutes"] == 45
    assert (await http_caller.book(site.request("10:50", ["room"], durationMinutes=5))).status == 201
    assert await site.free(resource="lee", service="visit") == ["09:00", "09:30", "11:00"]
    assert await site.free(service="visit", any=1) == ["09:00", "09:30", "11:00"]


async def test_next_free_slot_is_found_months_ahead(site: Site) -> None:
    """The first free slot is found from a time on; the answer is empty if there is none."""
    exceptions = [{"date": "2031-09-10", "hours": [{"from": "08:00", "to": "09:00"}]}]
    closed = {**schedule(exceptions=exceptions), "weekly": []}
    await site.put("lee", closed)
    later = (await site.ask("/api/next-free", resource="lee", **{"from": "2031-01-01T00:00:00Z"})).json()
    assert [one["local"] for one in later["free"]] == ["2031-09-10T08:00:00+02:00"]
    assert (await site.ask("/api/next-free", resource="lee")).json() == {"site": site.name, "free": []}


async def test_page_of_free_slots_goes_on_with_its_cursor(site: Site) -> None:
    """A window with many free slots is answered in pages, without a gap or a repeat."""
    await site.put("lee", schedule("00:00", "24:00", stepMinutes=15))
    window = {"from": "2031-05-01T00:00:00Z", "to": "2031-05-15T00:00:00Z", "resource": "lee"}
    slots: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await site.ask(**window, **cursor)).json()
        slots += [one["slot"] for one in page["free"]]
        if "next" not in page:
            break
        cursor = {"cursor": page["next"]}
    assert len(slots) == len(set(slots)) == 14 * 96
    assert slots == sorted(slots)


async def test_changed_schedule_is_in_force_within_two_seconds(site: Site) -> None:
    """Every worker uses a change of a schedule after at most two seconds."""
    await site.put("lee", schedule())
    for _ in range(8):  # the workers have read it
        assert len(await site.free(resource="lee")) == 3
    await site.put("lee", schedule(end="10:00"))
    loop_time = asyncio.get_running_loop().time
    changed_at = loop_time()
    while loop_time() < changed_at + 2:
        await site.free(resource="lee")
    for _ in range(8):
        assert await site.free(resource="lee") == ["09:00"]


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ({"resource": "bed"}, 404, "No such schedule"),
        ({}, 400, "Missing resource; with any=1 it may be absent"),
        ({"resource": "lee", "any": "yes"}, 400, "any must be 1 or 0"),
        (
            {"resource": "lee", "durationMinutes": "x"},
            400,
            "durationMinutes must be a whole number of minutes from 1 to 1440",
        ),
        (
            {"resource": "lee", "service": "other"},
            400,
            "service must be a service of one of the resources",
        ),
        (
            {"resource": "lee", "service": "visit", "durationMinutes": 30},
            400,
            "durationMinutes must be 45 or absent with this service",
        ),
    ],
)
async def test_wrong_question_is_refused(
    site: Site, query: dict[str, Any], status: int, sentence: str
) -> None:
    """A question that no schedule can answer is refused with its reason."""
    await site.put("lee", schedule(services=[SERVICE]))
    answer = await site.ask(**query)
    assert (answer.status_code, answer.json()) == (status, {"error": sentence})


async def test_unknown_resource_of_an_enforced_site_has_no_free_slots(site: Site) -> None:
    """Where schedules are enforced, a resource without one is unknown."""
    await site.put("lee", schedule(enforced=True))
    assert (await site.ask(resource=["lee", "bed"])).status_code == 404


async def test_free_slots_over_nats_are_those_over_http(site: Site, nats_caller: NatsCaller) -> None:
    """Both ways have the same body."""
    await site.put("lee", schedule())
    over_http = (await site.ask(resource="lee")).json()
    command = {**DAY, "site": site.name, "resource": ["lee"], "any": False}
    assert (await nats_caller.request("schedule.v1.free_slots", command)).body == over_http
