"""Patients in browsers over HTTP: their links, publishable keys, origins, rates and shares."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.access.links import new_link_key, write_link_keys
from gateway.live.slots import MOST_WINDOWS, PART
from tests.integration.operators import privacy
from tests.keys import KeyFile, bearer
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack, wait_until

PAGE, STRANGER = "https://clinic.example", "https://evil.example"
PATH = "/api/appointments"
BOOK, HOLD = "/api/book-appointment", "/api/hold-appointment"
WINDOW = {"from": "2031-05-04T00:00:00Z", "to": "2031-05-05T00:00:00Z"}
RATE, HOLDS = 200, 3


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    return KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")


@pytest.fixture(scope="module")
def keys(key_file: KeyFile) -> dict[str, str]:
    """Return a secret key of the desk, and the publishable key of the page."""
    return {
        "desk": key_file.new("book", "hold", "read", "cancel", "names"),
        "web": key_file.new("book", "hold", kind="publishable"),
    }


@pytest.fixture(scope="module")
def closed(
    servers: Servers, key_file: KeyFile, keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Start a stack whose gateway has keys, makes links, and believes this host about addresses."""
    links: Path = tmp_path_factory.mktemp("links") / "links.json"
    write_link_keys(links, [new_link_key()])
    settings = {
        "API_KEYS_FILE": str(key_file.path),
        "LINK_KEYS_FILE": str(links),
        "ALLOWED_ORIGINS": PAGE,
        "TRUSTED_PROXIES": "127.0.0.0/8",
        "RATE_PER_CLIENT": f"{RATE}/hour",
        "HOLDS_PER_CLIENT": str(HOLDS),
    }
    with servers.new_stack(**settings) as stack:
        yield stack.up(booking_workers=1)


@pytest.fixture(scope="module")
async def http(closed: Stack, keys: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    wait_until(
        lambda: httpx.get(f"{closed.url}/api/grid", headers=bearer(keys["desk"])).status_code == 200,
        "the gateway has read the keys",
    )
    async with httpx.AsyncClient(base_url=closed.url, timeout=20) as client:
        yield client


def page(key: str, address: str = "203.0.113.1", origin: str = PAGE) -> dict[str, str]:
    """Return the headers of a request of a browser."""
    return {**bearer(key), "Origin": origin, "X-Forwarded-For": address}


async def booked(http: httpx.AsyncClient, key: str, **body: Any) -> tuple[dict[str, Any], str]:
    """Book a fresh slot, and return the appointment and its secret."""
    answer = await http.post(BOOK, json=fresh("Ada", **body), headers=bearer(key))
    assert answer.status_code == 201
    appointment: dict[str, Any] = answer.json()["appointment"]
    return appointment, answer.headers["Appointment-Token"]


async def test_patient_reads_moves_and_cancels_with_the_secret_of_a_201(
    http: httpx.AsyncClient, keys: dict[str, str]
) -> None:
    """The holder of the secret needs no key, and sees the name."""
    appointment, secret = await booked(http, keys["desk"])
    url, own = f"{PATH}/{appointment['id']}", bearer(secret)
    read = await http.get(url, headers=own)
    assert (read.status_code, read.json()["appointment"]["patientName"]) == (200, "Ada")
    assert (await http.head(url, headers=own)).status_code == 200
    moved = await http.patch(url, json={"slot": "2031-05-04T15:00:00Z"}, headers=own)
    assert (moved.status_code, moved.json()["appointment"]["version"]) == (200, 2)
    assert (await http.delete(url, headers=own)).status_code == 200


@pytest.mark.parametrize("body", [{"attendance": "arrived"}, {"patientName": "Eve"}])
async def test_patient_changes_neither_name_nor_attendance(
    http: httpx.AsyncClient, keys: dict[str, str], body: dict[str, str]
) -> None:
    """The practice does: an amendment with a patient's link is 403, and changes nothing."""
    appointment, secret = await booked(http, keys["desk"])
    url, own = f"{PATH}/{appointment['id']}", bearer(secret)
    answer = await http.patch(url, json=body, headers=own)
    assert (answer.status_code, answer.headers["Error-Type"]) == (403, "Forbidden")
    assert (await http.get(url, headers=own)).json()["appointment"]["version"] == 1


async def test_secret_of_a_patient_opens_nothing_else(http: httpx.AsyncClient, keys: dict[str, str]) -> None:
    """Another appointment, the history, lists, slots, bookings and holds answer 401."""
    (mine, secret), (other, _) = await booked(http, keys["desk"]), await booked(http, keys["desk"])
    own = bearer(secret)
    for method, path in (
        ("GET", f"{PATH}/{other['id']}"),
        ("PATCH", f"{PATH}/{other['id']}"),
        ("DELETE", f"{PATH}/{other['id']}"),
        ("GET", f"{PATH}/{mine['id']}/history"),
        ("GET", PATH),
        ("GET", "/api/slots"),
        ("GET", "/api/live"),
        ("POST", BOOK),
        ("POST", HOLD),
        ("GET", "/api/webhooks"),
    ):
        answer = await http.request(method, path, headers=own)
        assert (answer.status_code, answer.headers["Error-Type"]) == (401, "Unauthorized"), path
    changed = bearer(secret[:-2] + ("AA" if not secret.endswith("AA") else "BB"))
    assert (await http.get(f"{PATH}/{mine['id']}", headers=changed)).status_code == 401
    assert (await http.get(f"{PATH}/{mine['id']}", headers=own)).status_code == 200


async def test_replay_of_a_booking_gives_the_same_secret(
    http: httpx.AsyncClient, keys: dict[str, str]
) -> None:
    """A patient whose 201 was lost gets the link by the retry."""
    body, headers = fresh("Ada"), {**bearer(keys["desk"]), "Idempotency-Key": "web-4711"}
    first, replay = [await http.post(BOOK, json=body, headers=headers) for _ in range(2)]
    assert replay.headers["Idempotency-Replayed"] == "true"
    assert first.headers["Appointment-Token"] == replay.headers["Appointment-Token"]
    taken = await http.post(BOOK, json=body, headers=bearer(keys["desk"]))
    assert taken.status_code == 409
    assert "Appointment-Token" not in taken.headers


async def test_replay_of_an_erased_booking_has_no_link(
    closed: Stack, http: httpx.AsyncClient, keys: dict[str, str]
) -> None:
    """Whoever knows the key of an erased booking gets its replay, but not the secret of its patient."""
    body, headers = fresh("Ada"), {**page(keys["web"], "203.0.113.3"), "Idempotency-Key": "web-4712"}
    booked = await http.post(BOOK, json=body, headers=headers)
    assert booked.headers["Appointment-Token"]
    assert "Appointment-Erased" not in booked.headers
    id = booked.json()["appointment"]["id"]
    ended = await privacy(closed, "erase", "--id", id, "--yes")
    assert ended.code == 0
    other = {**body, "patientName": "Mallory", "slot": "2031-05-04T16:00:00Z"}
    replay = await http.post(BOOK, json=other, headers=headers)
    assert (replay.status_code, replay.json()["appointment"]["id"]) == (201, id)
    assert replay.headers["Appointment-Erased"] == "true"
    assert "Appointment-Token" not in replay.headers


async def test_publishable_key_books_and_holds_without_reading(
    http: httpx.AsyncClient, keys: dict[str, str]
) -> None:
    """A page holds, books without a name in the answer, and reads free slots; all the rest is 403."""
    body, headers = fresh("Ada"), page(keys["web"], "203.0.113.2")
    held = await http.post(HOLD, json=body, headers=headers)
    token = held.json()["hold"]["token"]
    answer = await http.post(BOOK, json={**body, "holdToken": token}, headers=headers)
    assert (held.status_code, answer.status_code) == (200, 201)
    assert "patientName" not in answer.json()["appointment"]
    assert answer.headers["Appointment-Token"]
    site = {"site": body["site"], **WINDOW}
    assert (await http.get("/api/slots", params=site, headers=headers)).status_code == 200
    id = answer.json()["appointment"]["id"]
    for method, path in (("GET", PATH), ("GET", f"{PATH}/{id}"), ("DELETE", f"{PATH}/{id}")):
        assert (await http.request(method, path, headers=headers)).status_code == 403


async def test_one_address_leaves_live_windows_to_others(
    http: httpx.AsyncClient, keys: dict[str, str]
) -> None:
    """An address watches a tenth of all windows, and gets 429 for another; others watch theirs."""
    site = fresh()["site"]

    def watch(number: int, address: str) -> AbstractAsyncContextManager[httpx.Response]:
        asked = {"site": site, "resource": f"dr-{number}", **WINDOW}
        return http.stream("GET", "/api/live", params=asked, headers=page(keys["web"], address))

    async with AsyncExitStack() as open_streams:
        for number in range(MOST_WINDOWS // PART):
            opened = await open_streams.enter_async_context(watch(number, "203.0.113.61"))
            assert opened.status_code == 200
        refused = await open_streams.enter_async_context(watch(98, "203.0.113.61"))
        assert (refused.status_code, refused.headers["Error-Type"]) == (429, "TooManyRequests")
        assert refused.headers["Retry-After"]
        for number, address in ((0, "203.0.113.61"), (99, "203.0.113.62")):
            opened = await open_streams.enter_async_context(watch(number, address))
            assert opened.status_code == 200


async def test_publishable_key_is_refused_in_the_page_of_a_stranger(
    http: httpx.AsyncClient, keys: dict[str, str]
) -> None:
    """A page outside ALLOWED_ORIGINS, or a program without an origin, gets 403."""
    for headers in (page(keys["web"], origin=STRANGER), {**bearer(keys["web"])}):
        answer = await http.get("/api/grid", headers=headers)
        assert answer.json() == {"error": "The key does not permit this origin"}
        assert "Access-Control-Allow-Origin" not in answer.headers
    own = {**bearer(keys["web"]), "Sec-Fetch-Site": "same-origin"}
    assert (await http.get("/api/grid", headers=own)).status_code == 200


async def test_browser_may_send_what_the_page_needs(http: httpx.AsyncClient, keys: dict[str, str]) -> None:
    """The preflight of an allowed origin is answered; its page reads errors and the secret of a booking."""
    ask = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    allowed = await http.options(BOOK, headers=ask)
    assert (allowed.status_code, allowed.headers["Access-Control-Allow-Origin"]) == (200, PAGE)
    refused = await http.options(BOOK, headers={**ask, "Origin": STRANGER})
    assert (refused.status_code, "Access-Control-Allow-Origin" in refused.headers) == (400, False)
    answer = await http.get("/api/grid", headers=page(keys["web"]))
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Appointment-Token" in answer.headers["Access-Control-Expose-Headers"]


async def test_network_over_its_rate_gets_429(http: httpx.AsyncClient, keys: dict[str, str]) -> None:
    """All addresses of one /64 share a rate, wrong keys included; other networks and secret keys are free."""
    flood = [f"2001:db8:7:7::{number:x}" for number in range(RATE + 20)]
    wrong = bearer(keys["web"][:-2] + "zz")
    statuses = [
        (await http.get("/api/grid", headers={**wrong, "X-Forwarded-For": address})).status_code
        for address in flood[:100]
    ]
    assert set(statuses) == {401}
    answers = [
        await http.get("/api/grid", headers=page(keys["web"], address)) for address in flood[: RATE - 80]
    ]
    assert [answer.status_code for answer in answers] == [200] * (RATE - 100) + [429] * 20
    last = answers[-1]
    assert last.headers["Error-Type"] == "TooManyRequests"
    assert int(last.headers["Retry-After"]) >= 1
    assert last.headers["RateLimit-Policy"] == f'"client";q={RATE};w=3600'
    assert last.headers["Access-Control-Allow-Origin"] == PAGE
    other = page(keys["web"], "2001:db8:7:8::1")
    assert (await http.get("/api/grid", headers=other)).status_code == 200
    assert (await http.get("/api/grid", headers=bearer(keys["desk"]))).status_code == 200


async def test_patient_attacker_cannot_hold_a_month(http: httpx.AsyncClient, keys: dict[str, str]) -> None:
    """One key and many addresses of one /64 get the cap; a patient of another /64 holds and books."""
    site = fresh()["site"]

    async def hold(day: int, hour: int, number: int) -> int:
        slot = f"2031-05-{day:02}T{hour:02}:00:00Z"
        body = {"slot": slot, "patientName": f"Mallory {number}", "site": site}
        address = f"2001:db8:bad:1::{number:x}"
        return (await http.post(HOLD, json=body, headers=page(keys["web"], address))).status_code

    wanted = [(day, hour) for day in range(1, 31) for hour in (9, 10, 11, 14, 15)]
    statuses = await asyncio.gather(*(hold(*when, number) for number, when in enumerate(wanted, 1)))
    assert statuses.count(200) == HOLDS
    assert set(statuses) == {200, 429}
    patient = page(keys["web"], "2001:db8:900d:1::1")
    left = [when for when, status in zip(wanted, statuses, strict=True) if status == 429]
    body = {"patientName": "Ada", "site": site}
    slots = [f"2031-05-{day:02}T{hour:02}:00:00Z" for day, hour in left]
    held = await http.post(HOLD, json={**body, "slot": slots[0]}, headers=patient)
    booked = await http.post(BOOK, json={**body, "slot": slots[1]}, headers=patient)
    assert (held.status_code, booked.status_code) == (200, 201)
