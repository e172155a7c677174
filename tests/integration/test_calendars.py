"""Calendars over HTTP: a resource's by its secret link, and an appointment's for its patient."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from icalendar import Calendar

from gateway.access.links import new_link_key, write_link_keys
from tests.keys import KeyFile, bearer
from tests.servers import Servers
from tests.stack import Stack, wait_until

SITE = "harbour"
CALENDAR = f"/api/calendars/{SITE}/dr-lee.ics"
BOOK = "/api/book-appointment"
SCHEDULE = {
    "title": "Dr Lee",
    "timeZone": "Europe/Berlin",
    "weekly": [{"days": ["mon"], "from": "09:00", "to": "12:00"}],
}


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    return KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")


@pytest.fixture(scope="module")
def admin(key_file: KeyFile) -> str:
    return key_file.new("book", "move", "cancel", "read", "names", "schedules")


@pytest.fixture(scope="module")
def link(key_file: KeyFile) -> str:
    """The key of Dr Lee's calendar."""
    return calendar_key(key_file, "dr-lee")


@pytest.fixture(scope="module")
def closed(
    servers: Servers, key_file: KeyFile, admin: str, link: str, tmp_path_factory: Any
) -> Iterator[Stack]:
    """Start a stack whose gateway has keys, and makes links for patients."""
    links = tmp_path_factory.mktemp("links") / "links.json"
    write_link_keys(links, [new_link_key()])
    with servers.new_stack(API_KEYS_FILE=str(key_file.path), LINK_KEYS_FILE=str(links)) as stack:
        yield stack.up(booking_workers=1)


@pytest.fixture(scope="module")
async def http(closed: Stack, admin: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=closed.url, timeout=20) as client:
        place = f"/api/schedules/{SITE}/dr-lee"
        assert (await client.put(place, json=SCHEDULE, headers=bearer(admin))).status_code == 200
        yield client


def calendar_key(key_file: KeyFile, resource: str) -> str:
    return key_file.new("read", kind="calendar", sites=[SITE], resource=resource)


async def book(http: httpx.AsyncClient, key: str, days: float, resource: str) -> httpx.Response:
    slot = (datetime.now(UTC) + timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
    body = {
        "site": SITE,
        "resources": [resource],
        "slot": slot.isoformat(),
        "patientName": "Zoe-canary",
        "durationMinutes": 30,
    }
    booked = await http.post(BOOK, json=body, headers=bearer(key))
    assert booked.status_code == 201
    return booked


def id_of(booked: httpx.Response) -> str:
    return str(booked.json()["appointment"]["id"])


def events(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    calendar = Calendar.from_ical(answer.content)
    assert not calendar.errors
    return {str(event["UID"]): event for event in calendar.events}


async def test_subscription_follows_the_bookings(http: httpx.AsyncClient, admin: str, link: str) -> None:
    """Each booking of the window is there once; a move raises its SEQUENCE, and a cancelled one vanishes."""
    booked = [await book(http, admin, days, "dr-lee") for days in (-3, 1, 26, 60, 88, 100, -30)]
    inside, outside = [id_of(each) for each in booked[:5]], [id_of(each) for each in booked[5:]]
    other = await book(http, admin, 2, "dr-khan")

    first = await http.get(CALENDAR, params={"key": link})
    found = events(first)
    assert sorted(found) == sorted(inside)
    assert not set(outside) & set(found)
    assert id_of(other) not in found
    assert {event["SEQUENCE"] for event in found.values()} == {1}
    assert first.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert Calendar.from_ical(first.content)["X-WR-CALNAME"] == "Dr Lee"
    assert "canary" not in first.text

    moved = booked[1].json()["appointment"]
    target = datetime.fromisoformat(moved["slot"]) + timedelta(hours=3)
    path = f"/api/appointments/{moved['id']}"
    assert (
        await http.patch(path, json={"slot": target.isoformat()}, headers=bearer(admin))
    ).status_code == 200
    assert (await http.delete(f"/api/appointments/{inside[3]}", headers=bearer(admin))).status_code == 200
    second = await http.get(CALENDAR, params={"key": link})
    found = events(second)
    assert sorted(found) == sorted({*inside} - {inside[3]})
    assert (found[moved["id"]].start, found[moved["id"]]["SEQUENCE"]) == (target, 2)
    assert second.headers["ETag"] != first.headers["ETag"]


async def test_unchanged_calendar_is_304(http: httpx.AsyncClient, link: str) -> None:
    """A program that has the content does not get it again; HEAD has the headers alone."""
    first = await http.get(CALENDAR, params={"key": link})
    known = {"If-None-Match": f'"other", W/{first.headers["ETag"]}'}
    again = await http.get(CALENDAR, params={"key": link}, headers=known)
    head = await http.head(CALENDAR, params={"key": link})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert (head.status_code, head.content, head.headers["ETag"]) == (200, b"", first.headers["ETag"])


async def test_link_opens_its_calendar_and_nothing_else(
    http: httpx.AsyncClient, closed: Stack, key_file: KeyFile, admin: str, link: str
) -> None:
    """Any other use of it is the same 401 as a wrong key, and no log line or answer has the key."""
    booked = await book(http, admin, 5, "dr-lee")
    window = {"site": SITE, "resource": "dr-lee", "from": "2031-01-01T00:00Z", "to": "2031-01-02T00:00Z"}
    canary = "ck_canary_canary-canary"
    refused = [
        await http.get(CALENDAR),
        await http.get(CALENDAR, params={"key": canary}),
        await http.get(CALENDAR, params={"key": link[:-1]}),
        await http.get(f"{CALENDAR}?key={link}&key={link}"),
        await http.get(CALENDAR, params={"key": admin}),
        await http.get(CALENDAR, headers=bearer(link)),
        await http.get(f"/api/calendars/{SITE}/dr-khan.ics", params={"key": link}),
        await http.get("/api/calendars/north/dr-lee.ics", params={"key": link}),
        await http.get("/api/appointments", params=window, headers=bearer(link)),
        await http.get("/api/appointments", params={**window, "key": link}),
        await http.get(f"/api/appointments/{id_of(booked)}.ics", params={"key": link}),
        await http.get("/api/grid", params={"key": link}),
        await http.post(BOOK, params={"key": link}, json={"slot": "2031-01-01T00:00Z", "patientName": "A"}),
    ]
    assert {answer.status_code for answer in refused} == {401}
    assert len({answer.content for answer in refused}) == 1
    unknown = await http.get(CALENDAR, params={"key": link, "colour-canary": "canary"})
    elsewhere = await http.get("/api/slots", params={**window, "key": link}, headers=bearer(admin))
    assert (unknown.status_code, elsewhere.status_code) == (400, 400)
    secret = link.split("_")[2]
    metrics = (await http.get("/metrics")).text
    for text in [metrics, *(answer.text + str(answer.headers) for answer in (*refused, unknown, elsewhere))]:
        assert secret not in text
        assert "canary" not in text
    for service in closed.services:
        assert secret not in service.log
        assert "canary" not in service.log
    assert "/api/calendars/{site}/{resource}.ics" in closed.services[0].log


async def test_revoked_link_is_refused_within_two_seconds(
    http: httpx.AsyncClient, closed: Stack, key_file: KeyFile
) -> None:
    """The running gateway reads the file of keys again."""
    key = calendar_key(key_file, "dr-khan")
    url = f"{closed.url}/api/calendars/{SITE}/dr-khan.ics?key={key}"
    wait_until(lambda: httpx.get(url).status_code == 200, "the gateway has read the key")
    key_file.keys.remove(key_file.of(key))
    key_file.write()
    wait_until(lambda: httpx.get(url).status_code == 401, "the link is revoked", seconds=2)


async def test_patient_downloads_the_appointment_with_its_link(http: httpx.AsyncClient, admin: str) -> None:
    """The link and a key open it; the file has the schedule's title, no name, and tells of a cancel."""
    booked = await book(http, admin, 6, "dr-lee")
    path, token = f"/api/appointments/{id_of(booked)}.ics", booked.headers["Appointment-Token"]
    other = await book(http, admin, 7, "dr-lee")

    answer = await http.get(path, headers=bearer(token))
    (event,) = events(answer).values()
    assert (event["UID"], event["SUMMARY"], event["STATUS"]) == (id_of(booked), "Dr Lee", "CONFIRMED")
    assert event.start == datetime.fromisoformat(booked.json()["appointment"]["slot"])
    assert answer.headers["Content-Disposition"] == 'attachment; filename="appointment.ics"'
    assert "canary" not in answer.text
    assert events(await http.get(path, headers=bearer(admin)))
    refused = [
        await http.get(path),
        await http.get(f"/api/appointments/{id_of(other)}.ics", headers=bearer(token)),
        await http.get(f"{path}?key={token}"),
    ]
    assert [each.status_code for each in refused] == [401, 401, 401]
    for unknown in ("1d0f6c3e-0000-4000-8000-000000000404", "canary"):
        missing = await http.get(f"/api/appointments/{unknown}.ics", headers=bearer(admin))
        assert (missing.status_code, missing.headers["Error-Type"]) == (404, "NoSuchAppointment")

    assert (await http.delete(path.removesuffix(".ics"), headers=bearer(token))).status_code == 200
    (event,) = events(await http.get(path, headers=bearer(token))).values()
    assert (event["STATUS"], event["SEQUENCE"]) == ("CANCELLED", 2)


async def test_open_gateway_needs_no_key(stack: Stack) -> None:
    """Without keys, calendars are open too; a resource without bookings has an empty one."""
    async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
        assert events(await client.get("/api/calendars/nowhere/nobody.ics")) == {}
        wrong = await client.get("/api/calendars/no+where/nobody.ics")
    assert (wrong.status_code, wrong.json()["error"].split()[0]) == (400, "site")


async def test_control_gateway_that_looks_at_the_key_alone_opens_another_calendar(
    servers: Servers, tmp_path: Path
) -> None:
    """The refusals can fail: without the comparison of the path, a link opens the calendar of anybody."""
    keys = KeyFile(tmp_path / "keys.json")
    link = calendar_key(keys, "dr-lee")
    with servers.new_stack(API_KEYS_FILE=str(keys.path)) as stack:
        stack.start_gateway(without="no_calendar_path")
        stack.start("booking_worker")
        stack.start("hold_worker")
        stack.wait_ready()
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            other = await client.get(f"/api/calendars/{SITE}/dr-khan.ics", params={"key": link})
    assert other.status_code == 200
