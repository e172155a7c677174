"""Openings: the hours of schedules as instants."""

from typing import Any

import httpx

from tests.callers import NatsCaller
from tests.slots import fresh_site

WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
# The clocks in Berlin go forward on 2031-03-30.
WINDOW = {"from": "2031-03-29T00:00:00+01:00", "to": "2031-03-31T00:00:00+02:00"}


async def store(http: httpx.AsyncClient, site: str, resource: str, **more: Any) -> None:
    weekly = [{"days": WEEK, "from": "09:00", "to": "12:00"}, {"days": WEEK, "from": "13:00", "to": "14:00"}]
    schedule = {"title": resource, "timeZone": "Europe/Berlin", "weekly": weekly, **more}
    stored = await http.put(f"/api/schedules/{site}/{resource}", json=schedule)
    assert stored.status_code == 200, stored.text


async def test_openings_are_the_hours_as_instants(http: httpx.AsyncClient, nats_caller: NatsCaller) -> None:
    """Hours keep their wall clock across a clock change, and an exception replaces those of its date."""
    site = fresh_site()
    closed = {"date": "2031-03-29", "hours": [{"from": "10:00", "to": "11:00"}]}
    await store(http, site, "lee", exceptions=[closed])
    expected = [
        {"resource": "lee", "from": f"2031-03-{begin}:00:00.000Z", "to": f"2031-03-{end}:00:00.000Z"}
        for begin, end in (("29T09", "29T10"), ("30T07", "30T10"), ("30T11", "30T12"))
    ]
    found = await http.get("/api/openings", params={"site": site, **WINDOW})
    assert (found.status_code, found.json()) == (200, {"site": site, "open": expected})
    over_nats = await nats_caller.request("schedule.v1.openings", {"site": site, **WINDOW})
    assert over_nats.body == found.json()


async def test_public_holidays_have_no_openings(http: httpx.AsyncClient) -> None:
    """A resource that closes on public holidays has no openings on them."""
    site = fresh_site()
    await store(http, site, "lee", exceptions=[{"holidays": "DE"}])
    holiday = {"from": "2031-12-25T00:00:00+01:00", "to": "2031-12-27T00:00:00+01:00"}
    assert (await http.get("/api/openings", params={"site": site, **holiday})).json()["open"] == []


async def test_changed_hours_are_read_at_once(http: httpx.AsyncClient) -> None:
    """A client that changed a schedule reads the new openings with its next request."""
    site = fresh_site()
    for _ in range(3):
        await store(http, site, "lee")
        assert (await http.get("/api/openings", params={"site": site, **WINDOW})).json()["open"]
        await store(http, site, "lee", weekly=[])
        assert not (await http.get("/api/openings", params={"site": site, **WINDOW})).json()["open"]


async def test_openings_come_in_pages_of_resources(http: httpx.AsyncClient) -> None:
    """The pages of a site have each opening of its resources once, or those of the named resources."""
    site, names = fresh_site(), [f"room-{number:02}" for number in range(35)]
    for name in names:
        await store(http, site, name)
    query: dict[str, Any] = {"site": site, **WINDOW}
    page = (await http.get("/api/openings", params=query)).json()
    rest = (await http.get("/api/openings", params=query | {"cursor": page["next"]})).json()
    found = [one["resource"] for one in page["open"] + rest["open"]]
    assert found == [name for name in names for _ in range(4)]
    assert "next" not in rest
    named = (await http.get("/api/openings", params=query | {"resource": ["room-07", "none"]})).json()
    assert [one["resource"] for one in named["open"]] == ["room-07"] * 4
