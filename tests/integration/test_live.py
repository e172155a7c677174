"""Live slots: pages see changes as they are made, and are right again by themselves after a loss."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient

from gateway.live.slots import MOST_WINDOWS
from shared.stores.mongo.bookings import COLLECTION
from tests.bench.stored import insert
from tests.bench.stored import rows as rows_of
from tests.integration.breakable import until
from tests.integration.live_page import DAY, NINE, TEN, Page, watching
from tests.servers import Servers
from tests.slots import fresh, fresh_site
from tests.stack import Stack

RELAY = "booking_worker.events"
SOON, BY_ITSELF = 3.0, 6.0
FIRST, CELL = datetime(2031, 5, 4, tzinfo=UTC), timedelta(minutes=5)
MONTH = {"from": "2031-05-04T00:00:00Z", "to": "2031-06-04T00:00:00Z"}
AT_NINE, AT_TEN = (NINE, "default"), (TEN, "default")


@pytest.fixture(scope="module")
def live(servers: Servers) -> Iterator[Stack]:
    """A gateway with workers and a relay."""
    with servers.new_stack(SOFT_HOLD_SECONDS="3", HOLD_MAX_SECONDS="60") as stack:
        stack.start(RELAY)
        yield stack.up(booking_workers=1)


@pytest.fixture(scope="module")
async def api(live: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(live) as client:
        yield client


@asynccontextmanager
async def client_of(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=stack.url, timeout=20, limits=httpx.Limits(max_connections=None)
    ) as client:
        yield client


async def book(api: httpx.AsyncClient, body: dict[str, Any]) -> str:
    answer = await api.post("/api/book-appointment", json=body)
    assert answer.status_code == 201, answer.text
    id: str = answer.json()["appointment"]["id"]
    return id


async def hold(api: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await api.post("/api/hold-appointment", json=body)
    assert answer.status_code == 200, answer.text


async def metric(api: httpx.AsyncClient, name: str) -> float:
    """Read a metric on a connection of its own: the gateway closes one that was idle for five seconds."""
    async with httpx.AsyncClient(base_url=api.base_url, timeout=20) as own:
        families = list(text_string_to_metric_families((await own.get("/metrics")).text))
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


async def test_two_pages_see_a_booking_a_move_and_a_cancel(api: httpx.AsyncClient) -> None:
    """Each change of a booking reaches every page that shows its window, as it is made."""
    body = fresh()
    async with watching(api, body["site"]) as one, watching(api, body["site"], resource="default") as other:
        assert one.shown == other.shown == {}
        id = await book(api, body)
        for page in (one, other):
            await page.until_shown({AT_NINE: "booked"}, SOON)
        await api.patch(f"/api/appointments/{id}", json={"slot": TEN})
        for page in (one, other):
            await page.until_shown({AT_TEN: "booked"}, SOON)
        await api.delete(f"/api/appointments/{id}")
        for page in (one, other):
            await page.until_shown({}, SOON)


async def test_pages_see_a_hold_its_use_and_a_release(api: httpx.AsyncClient) -> None:
    """A hold is seen as it is placed, as it becomes a booking, and as it is released."""
    body = fresh(holdToken=str(uuid4()))
    later = {**body, "slot": TEN, "holdToken": str(uuid4())}
    async with watching(api, body["site"]) as page:
        await hold(api, body)
        await page.until_shown({AT_NINE: "held"}, SOON)
        await book(api, body)
        await page.until_shown({AT_NINE: "booked"}, SOON)
        await hold(api, later)
        await page.until_shown({AT_NINE: "booked", AT_TEN: "held"}, SOON)
        release = {"site": body["site"], "holdToken": later["holdToken"]}
        assert (await api.post("/api/release-hold", json=release)).status_code == 200
        await page.until_shown({AT_NINE: "booked"}, SOON)


async def test_page_sees_a_buffer_that_reaches_into_its_window(api: httpx.AsyncClient) -> None:
    """A booking and a hold outside the window, whose buffers reach far into it, are seen as they are made."""
    service = {"id": "visit", "title": "Visit", "durationMinutes": 30, "bufferBefore": 480}
    site = fresh_site()
    schedule = {"title": "Lee", "timeZone": "UTC", "weekly": [], "services": [service]}
    assert (await api.put(f"/api/schedules/{site}/default", json=schedule)).is_success
    # The page shows a day, and both begin in the next one.
    body = {"slot": "2031-05-05T07:50:00Z", "patientName": "Ada", "site": site, "service": "visit"}
    begin = ("2031-05-04T23:50:00.000Z", "default")
    async with watching(api, site) as page:
        await hold(api, {**body, "holdToken": str(uuid4())})
        await page.until_shown({begin: "held"}, SOON)
        await book(api, body)
        await page.until_shown({begin: "booked"}, SOON)


async def test_hold_that_expires_is_freed_at_its_end(api: httpx.AsyncClient) -> None:
    """A page frees a hold within a second of its end, though nothing announces the end."""
    body = fresh()
    async with watching(api, body["site"]) as page:
        placed = await api.post("/api/hold-appointment", json=body)
        await page.until_shown({AT_NINE: "held"}, SOON)
        expires = datetime.fromisoformat(placed.json()["hold"]["expiresAt"])
        await page.until_shown({}, BY_ITSELF)
        assert -0.3 < (datetime.now(UTC) - expires).total_seconds() < 1


async def test_snapshot_is_the_body_of_the_list_and_comes_again(api: httpx.AsyncClient) -> None:
    """The first event is the body of `GET /api/slots`, also for a client that comes back with an id."""
    body = fresh()
    await book(api, body)
    listed = (await api.get("/api/slots", params={"site": body["site"], **DAY})).json()
    for headers in ({}, {"Last-Event-ID": "1"}):
        async with watching(api, body["site"], headers=headers) as page:
            assert page.events == [("snapshot", listed)]
            await page.until(lambda page: "" in page.lines)
            assert [line.partition(":")[0] for line in page.lines] == ["event", "data", "id", "retry", ""]


async def test_page_that_opens_after_a_201_shows_the_booking(api: httpx.AsyncClient) -> None:
    """A snapshot is read after its request came, also of a window that others watch already."""
    body = fresh()
    async with watching(api, body["site"]):
        for number in range(5):
            await book(api, {**body, "resources": [f"dr-{number}"]})
            async with watching(api, body["site"]) as page:
                assert (NINE, f"dr-{number}") in page.shown


async def test_all_pages_of_a_window_share_its_reads(api: httpx.AsyncClient) -> None:
    """Fifty pages of one window cost as many reads as one page."""
    body = fresh()
    async with AsyncExitStack() as closing:
        opening = (closing.enter_async_context(watching(api, body["site"])) for _ in range(50))
        pages: list[Page] = await asyncio.gather(*opening)
        before = await metric(api, "booking_live_reads_total")
        assert await metric(api, "booking_live_streams") == 50
        await book(api, body)
        await asyncio.gather(*(page.until_shown({AT_NINE: "booked"}, SOON) for page in pages))
        assert 1 <= await metric(api, "booking_live_reads_total") - before <= 3
        assert await metric(api, "booking_live_change_seconds_count") >= 1
    await until_metric(api, "booking_live_streams", 0)


async def until_metric(api: httpx.AsyncClient, name: str, expected: float, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while await metric(api, name) != expected:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.05)


async def test_changes_elsewhere_cause_no_read(api: httpx.AsyncClient) -> None:
    """A booking of another resource, another week or another site does not make a window be read."""
    body = fresh()
    async with watching(api, body["site"], resource="dr-lee") as page:
        before = await metric(api, "booking_live_reads_total")
        for other in ({"resources": ["dr-wu"]}, {"slot": "2031-06-04T09:00Z"}, {"site": fresh_site()}):
            await book(api, {**body, "resources": ["dr-lee"], **other})
        assert await metric(api, "booking_live_reads_total") - before <= 1  # the one that comes by itself
        await book(api, {**body, "resources": ["dr-lee"]})
        await page.until_shown({(NINE, "dr-lee"): "booked"}, SOON)


async def test_window_of_several_pages_is_watched_whole(live: Stack, api: httpx.AsyncClient) -> None:
    """A snapshot has all pages of its window, and a change on the last page is seen."""
    site, number = fresh_site(), 2500
    with MongoClient[dict[str, Any]](live.env["MONGO_URI"]) as mongo:
        insert(mongo.get_default_database()[COLLECTION], stored(site, number))
    async with watching(api, site, **MONTH) as page:
        assert len(page.shown) == number
        await book(api, fresh(site=site, slot="2031-05-31T09:00Z"))
        await page.until(lambda page: len(page.shown) == number + 1, SOON)
        assert page.events[-1][0] == "changes"
        assert len(page.events[-1][1]["taken"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"from": DAY["from"]},
        {"from": DAY["to"], "to": DAY["from"]},
        {**DAY, "to": "2031-07-05T00:00Z"},
        {**DAY, "site": "a b"},
        {**DAY, "resource": "a b"},
        {**DAY, "colour": "red"},
    ],
)
async def test_wrong_query_is_refused_as_by_the_list(api: httpx.AsyncClient, query: dict[str, str]) -> None:
    """A wrong window gets the 400 that `GET /api/slots` gives."""
    watched, listed = [await api.get(f"/api/{path}", params=query) for path in ("live", "slots")]
    assert watched.status_code == listed.status_code == 400
    assert watched.json() == listed.json()


async def test_cursor_is_unknown_to_a_stream(api: httpx.AsyncClient) -> None:
    """A stream has no pages, so a cursor is refused."""
    answer = await api.get("/api/live", params={**DAY, "cursor": "abc"})
    assert (answer.status_code, answer.json()) == (400, {"error": "Unknown field cursor"})


async def test_head_of_a_stream_ends_at_once(api: httpx.AsyncClient) -> None:
    """HEAD has the headers of the stream, and no stream."""
    answer = await api.head("/api/live", params=DAY, timeout=5)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (await api.head("/api/live", timeout=5)).status_code == 400


async def test_pages_are_right_by_themselves_without_the_relay(servers: Servers) -> None:
    """While no event and no hint comes, a page is right again within six seconds, and the relay's end harms
    no stream."""
    with servers.new_stack() as stack:
        relay = stack.start(RELAY)
        stack.up(booking_workers=1)
        body = fresh()
        async with client_of(stack) as api, watching(api, body["site"]) as page:
            relay.kill()
            id = await book(api, body)
            await page.until_shown({AT_NINE: "booked"}, BY_ITSELF)
            await api.delete(f"/api/appointments/{id}")
            await page.until_shown({}, BY_ITSELF)


async def test_control_page_is_not_right_by_itself_without_reads_by_itself(servers: Servers) -> None:
    """A gateway that reads a window only after an event or a hint does not notice a lost event."""
    with servers.new_stack() as stack:
        stack.start_gateway(without="no_reads_by_itself")
        stack.start("booking_worker")
        stack.start("hold_worker")
        stack.wait_ready()
        body = fresh()
        async with client_of(stack) as api, watching(api, body["site"]) as page:
            await book(api, body)
            with pytest.raises(AssertionError, match="the page shows"):
                await page.until_shown({AT_NINE: "booked"}, BY_ITSELF)


async def test_pages_outlive_their_workers(servers: Servers) -> None:
    """A stream stays open while no worker answers, and is right within seconds of the next one's start."""
    with servers.new_stack() as stack:
        stack.up(booking_workers=1)
        body = fresh()
        async with client_of(stack) as api, watching(api, body["site"]) as page:
            (worker,) = stack.workers("booking_worker")
            worker.kill()
            successor = stack.start("booking_worker")
            await until(lambda: successor.problem() is None, "the next worker serves")
            await book(api, body)
            await page.until_shown({AT_NINE: "booked"}, BY_ITSELF)
            assert not page.ended


async def test_stream_without_a_worker_is_refused(servers: Servers) -> None:
    """A window that cannot be read is refused like any call: 503, with `Retry-After`."""
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS="1") as stack:
        stack.start_gateway()
        async with client_of(stack) as api:
            await until(lambda: gateway_answers(stack), "the gateway serves")
            answer = await api.get("/api/live", params=DAY)
            assert answer.status_code == 503
            assert answer.headers["Retry-After"]
            assert await metric(api, "booking_live_streams") == 0


def gateway_answers(stack: Stack) -> bool:
    try:
        return httpx.get(f"{stack.url}/livez").status_code == 200
    except httpx.TransportError:
        return False


async def test_streams_have_a_limit_and_take_no_room_from_requests(servers: Servers) -> None:
    """Beyond LIVE_STREAMS_MAX a stream is refused with 503 until another ends; none counts as in flight."""
    with servers.new_stack(LIVE_STREAMS_MAX="2") as stack:
        stack.up(booking_workers=1)
        async with client_of(stack) as api:
            async with watching(api, "one"), watching(api, "two"):
                for ask in (api.get, api.head):
                    answer = await ask("/api/live", params=DAY)
                    assert answer.status_code == 503
                    assert answer.headers["Error-Type"] == "Overloaded"
                    assert answer.headers["Retry-After"]
                assert await metric(api, "booking_http_requests_in_flight") == 0
            await until_metric(api, "booking_live_streams", 0)
            async with watching(api, "three") as page:
                assert page.shown == {}


async def test_windows_have_a_limit(live: Stack) -> None:
    """Beyond 100 different windows another one is refused with 503; a window that is watched is not."""
    site = fresh_site()
    async with client_of(live) as api, AsyncExitStack() as closing:
        for number in range(MOST_WINDOWS):
            await closing.enter_async_context(watching(api, site, resource=f"dr-{number}"))
        answer = await api.get("/api/live", params={**DAY, "site": site, "resource": "dr-wu"})
        assert (answer.status_code, answer.headers["Error-Type"]) == (503, "Overloaded")
        await closing.enter_async_context(watching(api, site, resource="dr-0"))
        await book(api, fresh(site=site, resources=["dr-0"]))


async def test_streams_have_no_place_in_the_times_of_requests(api: httpx.AsyncClient) -> None:
    """The time of a stream is not in the histogram of the times of requests; its request is counted."""
    async with watching(api, fresh_site()):
        pass
    await until_metric(api, "booking_live_streams", 0)
    families = text_string_to_metric_families((await api.get("/metrics")).text)
    samples = [each for family in families for each in family.samples]
    live = {each.name: each.value for each in samples if each.labels.get("route") == "/api/live"}
    assert live["booking_http_requests_total"] >= 1
    assert live["booking_http_request_seconds_count"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stopping_gateway_ends_its_streams(servers: Servers, number: signal.Signals) -> None:
    """At SIGTERM or SIGINT each stream ends at once, with the time to come back; the gateway exits with 0."""
    with servers.new_stack() as stack:
        gateway = stack.start_gateway()
        stack.start("booking_worker")
        stack.start("hold_worker")
        stack.wait_ready()
        async with client_of(stack) as api, AsyncExitStack() as closing:
            pages = [await closing.enter_async_context(watching(api, "site")) for _ in range(5)]
            gateway.send(number)
            for page in pages:
                await page.until(lambda page: page.ended, 2)
                (retry,) = [line for line in page.lines if line.startswith("retry: ")][1:]
                assert 1000 <= int(retry.partition(": ")[2]) <= 5000
        assert await asyncio.to_thread(gateway.wait) == 0
        assert "drain_incomplete" not in gateway.log
        assert "request_failed" not in gateway.log


async def test_client_that_does_not_read_is_dropped(servers: Servers) -> None:
    """A client that takes nothing of its stream is dropped; others of its window see everything."""
    with servers.new_stack() as stack, MongoClient[dict[str, Any]](stack.env["MONGO_URI"]) as mongo:
        stack.up(booking_workers=1)
        site, rows = fresh_site(), mongo.get_default_database()[COLLECTION]
        async with client_of(stack) as api, watching(api, site, **MONTH) as page:
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.connect((api.base_url.host, api.base_url.port or 0))
                deaf.send(
                    f"GET /api/live?site={site}&from={MONTH['from']}&to={MONTH['to']} HTTP/1.1\r\n"
                    "Host: test\r\n\r\n".encode()
                )
                await until_metric(api, "booking_live_streams", 2)
                insert(rows, stored(site, 3000))
                await page.until(lambda page: len(page.shown) == 3000)
                await until_metric(api, "booking_live_streams", 1, 30)
            await book(api, fresh(site=site, resources=["dr-lee"]))
            await page.until(lambda page: (NINE, "dr-lee") in page.shown, BY_ITSELF)
            assert not page.ended


def stored(site: str, number: int) -> Iterator[dict[str, Any]]:
    """Bookings of a cell each, one after the other."""
    return ({**row, "site": site} for row in islice(rows_of(FIRST, CELL), number))
