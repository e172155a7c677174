"""The directory of schedules: stored, read, replaced, deleted and listed, over HTTP and NATS."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.callers import HttpCaller, NatsCaller
from tests.slots import fresh_site

HOURS = {"days": ["mon", "tue"], "from": "09:00", "to": "12:30"}
SCHEDULE: dict[str, Any] = {
    "title": "Dr Lee",
    "timeZone": "Europe/Berlin",
    "weekly": [HOURS],
    "exceptions": [{"holidays": "DE", "hours": [{"from": "10:00", "to": "24:00"}]}],
    "services": [{"id": "visit", "title": "Visit", "durationMinutes": 45, "resources": ["room"]}],
}
ABSENT = {"error": "No such schedule"}
CHANGED = {"error": "The schedule was changed or deleted since the version in If-Match (ifVersion)"}


def path_of(site: str, resource: str = "dr-lee") -> str:
    return f"/api/schedules/{site}/{resource}"


async def test_schedule_is_read_as_it_was_stored(http: httpx.AsyncClient) -> None:
    """A stored schedule is answered with all its rules, its place and its version."""
    path = path_of(site := fresh_site())
    stored = await http.put(path, json=SCHEDULE)
    assert (stored.status_code, stored.headers["ETag"]) == (200, '"1"')
    body = stored.json()
    assert body["message"] == "Schedule stored"
    assert (
        body["schedule"].items()
        >= {"site": site, "resource": "dr-lee", "version": 1, "enforced": False}.items()
    )
    assert body["schedule"]["weekly"] == [HOURS]
    found = await http.get(path)
    assert found.json() == {"schedule": body["schedule"]}
    assert found.headers["ETag"] == '"1"'
    again = {name: value for name, value in found.json()["schedule"].items() if name in SCHEDULE}
    assert (await http.put(path, json=again)).json() == body


async def test_schedule_over_nats_is_that_over_http(http: httpx.AsyncClient, nats_caller: NatsCaller) -> None:
    """Both ways have the same bodies and headers."""
    site = fresh_site()
    place = {"site": site, "resource": "dr-lee"}
    stored = await nats_caller.request("schedule.v1.put", {**SCHEDULE, **place})
    found = await http.get(path_of(site))
    assert (stored.status, stored.body["schedule"]) == (200, found.json()["schedule"])
    deleted = await nats_caller.request("schedule.v1.delete", {**place, "ifVersion": 1})
    assert (deleted.status, deleted.body) == (200, {"message": "Schedule deleted"})
    absent = await nats_caller.request("schedule.v1.get", place)
    assert (absent.status, absent.body) == (404, ABSENT)


async def test_version_counts_changes_alone(http: httpx.AsyncClient) -> None:
    """A schedule that is stored again unchanged keeps its version."""
    path = path_of(fresh_site())
    versions = []
    for step in (15, 15, 20, 15):
        stored = await http.put(path, json={**SCHEDULE, "stepMinutes": step})
        versions.append(stored.json()["schedule"]["version"])
    assert versions == [1, 1, 2, 3]


async def test_change_needs_the_version_of_if_match(http: httpx.AsyncClient) -> None:
    """With If-Match, a schedule of another version is not changed; a retry of a change is answered 200."""
    path = path_of(fresh_site())
    await http.put(path, json=SCHEDULE)
    other = {**SCHEDULE, "stepMinutes": 20}
    for _ in range(2):
        assert (await http.put(path, json=other, headers={"If-Match": '"1"'})).status_code == 200
    stale = await http.put(path, json=SCHEDULE, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json(), stale.headers["Error-Type"]) == (
        412,
        CHANGED,
        "PreconditionFailed",
    )
    assert (await http.get(path)).json()["schedule"]["stepMinutes"] == 20
    assert (await http.delete(path, headers={"If-Match": '"1"'})).status_code == 412


async def test_one_of_concurrent_changes_of_a_version_succeeds(http: httpx.AsyncClient) -> None:
    """Of different changes with the same If-Match, exactly one is stored."""
    path = path_of(fresh_site())
    await http.put(path, json=SCHEDULE)
    answers = await asyncio.gather(
        *(
            http.put(path, json={**SCHEDULE, "stepMinutes": step}, headers={"If-Match": '"1"'})
            for step in range(20, 40)
        )
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [412] * 19
    (winner,) = (answer.json()["schedule"] for answer in answers if answer.status_code == 200)
    assert (await http.get(path)).json()["schedule"] == winner


async def test_deleted_schedule_is_gone_and_its_version_goes_on(http: httpx.AsyncClient) -> None:
    """A deleted schedule is 404, and a new one of the resource has a higher version."""
    path = path_of(site := fresh_site())
    assert (await http.delete(path)).json() == ABSENT
    await http.put(path, json=SCHEDULE)
    for _ in range(2):  # the second is a retry
        deleted = await http.delete(path, headers={"If-Match": '"1"'})
        assert (deleted.status_code, deleted.json()) == (200, {"message": "Schedule deleted"})
    assert (await http.get(path)).json() == ABSENT
    assert (await http.delete(path)).status_code == 404
    assert (await http.get(f"/api/schedules/{site}")).json() == {"schedules": []}
    assert (await http.put(path, json=SCHEDULE)).json()["schedule"]["version"] == 3


async def test_schedules_of_a_site_are_listed_in_pages(http: httpx.AsyncClient) -> None:
    """The list has each schedule of the site once, by resource, and none of a site with a similar name."""
    site = fresh_site()
    names = [f"r{number:02}" for number in range(40)]
    paths = [path_of(site, name) for name in reversed(names)]
    paths += [path_of(f"{site}0"), path_of(f"{site}-a"), path_of(site[:-1])]
    await asyncio.gather(*(http.put(path, json=SCHEDULE) for path in paths))
    first = (await http.get(f"/api/schedules/{site}")).json()
    second = (await http.get(f"/api/schedules/{site}", params={"cursor": first["next"]})).json()
    assert [one["resource"] for one in first["schedules"] + second["schedules"]] == names
    assert len(first["schedules"]) == 30
    assert "next" not in second


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weekly": [HOURS, {**HOURS, "to": "08:00"}]}, "weekly[1].to must be later than from"),
        ({"timeZone": "Europe/Atlantis"}, "timeZone must be an IANA time zone, for example Europe/Berlin"),
        ({"exceptions": [{"holidays": "XX"}]}, "exceptions[0].holidays has no known public holidays"),
        ({"site": "other"}, "Unknown field site"),
    ],
)
async def test_wrong_schedule_is_refused(
    http: httpx.AsyncClient, changes: dict[str, Any], sentence: str
) -> None:
    """A refusal names the place of the mistake, and nothing is stored."""
    path = path_of(fresh_site())
    answer = await http.put(path, json={**SCHEDULE, **changes})
    assert (answer.status_code, answer.json()) == (400, {"error": sentence})
    assert (await http.get(path)).status_code == 404


async def test_bookings_outside_the_hours_are_listed(
    http: httpx.AsyncClient, http_caller: HttpCaller
) -> None:
    """The conflicts are the future bookings of the resource that its schedule leaves outside."""
    path = path_of(site := fresh_site())
    booked = {}
    for time, minutes in (("09:00", 30), ("12:15", 15), ("12:15", 30), ("07:00", 15)):
        resource = "dr-lee" if (time, minutes) != ("12:15", 15) else "room"
        body = {"slot": f"2031-05-05T{time}:00+02:00", "patientName": "Ada", "durationMinutes": minutes}
        answer = await http_caller.book({**body, "site": site, "resources": [resource]})
        booked[time, minutes] = answer.body["appointment"]
    past = {"slot": "2001-05-06T09:00Z", "patientName": "Ada", "site": site, "resources": ["dr-lee"]}
    assert (await http_caller.book(past)).status == 201
    assert (await http.get(f"{path}/conflicts")).json() == ABSENT
    await http.put(path, json=SCHEDULE)
    found = await http.get(f"{path}/conflicts")
    assert found.json() == {"appointments": [booked["07:00", 15], booked["12:15", 30]]}
    earlier = await http.get(f"{path}/conflicts", params={"from": "2001-01-01T00:00Z"})
    assert len(earlier.json()["appointments"]) == 3


async def test_largest_pages_fit_in_a_message(http: httpx.AsyncClient) -> None:
    """A page of the largest schedules is answered."""
    site = fresh_site()
    services = [{"id": f"s{number}", "title": "é" * 120, "durationMinutes": 30} for number in range(44)]
    large = {**SCHEDULE, "services": services}
    assert len(httpx.Request("PUT", "http://a", json=large).content) > 12 * 1000
    stored = await asyncio.gather(
        *(http.put(path_of(site, f"r{number}"), json=large) for number in range(31))
    )
    assert {answer.status_code for answer in stored} == {200}
    page = (await http.get(f"/api/schedules/{site}")).json()
    assert len(page["schedules"]) == 30


async def test_sites_with_a_schedule_are_listed(http: httpx.AsyncClient, nats_caller: NatsCaller) -> None:
    """A site appears with its first schedule, once, and disappears with its last one."""
    site = fresh_site()
    assert site not in await sites(http)
    for resource in ("dr-lee", "room"):
        await http.put(path_of(site, resource), json=SCHEDULE)
    assert (await sites(http)).count(site) == 1
    assert site in (await nats_caller.request("schedule.v1.sites", {})).body["sites"]
    for resource in ("dr-lee", "room"):
        await http.delete(path_of(site, resource))
    assert site not in await sites(http)


async def sites(http: httpx.AsyncClient) -> list[str]:
    answer = await http.get("/api/sites")
    assert answer.status_code == 200
    found: list[str] = answer.json()["sites"]
    assert found == sorted(found)
    return found
