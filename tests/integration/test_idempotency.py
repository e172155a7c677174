"""A request that is retried with its idempotency key gets the same booking, over HTTP and NATS."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from typer.testing import CliRunner

from shared.cli.app import app
from shared.client import BookingClient
from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import PlaceHold
from shared.contract.deadline import Deadline
from shared.domain.claim import Claims
from shared.domain.grid import Grid
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.holds import HoldRequest, HoldStore
from shared.stores.redis.keys import Holder
from shared.stores.redis.scripts import Scripts
from shared.stores.redis.servers import SingleServer
from tests.callers import Answer, Caller, HttpCaller, NatsCaller
from tests.integration.life import is_cancelled
from tests.servers import Servers
from tests.slots import fresh, fresh_site
from tests.stack import Stack

KEY = {"Idempotency-Key": "order 4711"}
REUSED = {"error": "Idempotency-Key was used for a different request"}


@pytest.fixture
def appointments(stack: Stack) -> Iterator[Collection[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](stack.env["MONGO_URI"]) as client:
        yield client.get_default_database()["appointments"]


def is_replay(answer: Answer, of: Answer) -> bool:
    return (
        answer.status == 201
        and answer.body == of.body
        and answer.headers.get("idempotency-replayed") == "true"
    )


async def test_retry_with_the_same_key_gets_the_same_booking(caller: Caller) -> None:
    """A retry with the same key gets 201 with the same id, and is marked as a replay."""
    body = fresh()
    first, second = await caller.book(body, **KEY), await caller.book(body, **KEY)
    assert first.status == 201
    assert "idempotency-replayed" not in first.headers
    assert is_replay(second, first)


@pytest.mark.parametrize("key", ["  order 4711", "order 4711 \t", "\torder 4711  "], ids=repr)
async def test_white_space_around_a_key_is_ignored(
    stack: Stack, http: httpx.AsyncClient, nats_caller: NatsCaller, key: str
) -> None:
    """White space around a key is ignored over HTTP, NATS, the typed client and the command line."""
    body = fresh()
    first = await nats_caller.book(body, **KEY)
    assert first.status == 201
    id = first.body["appointment"]["id"]
    content = json.dumps(body).encode()
    head = f"POST /api/book-appointment HTTP/1.1\r\nHost: gateway\r\nIdempotency-Key: {key}\r\n"
    head += "Connection: close\r\nContent-Type: application/json\r\n"
    reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    writer.write(head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(content), content))
    raw = await reader.read()
    writer.close()
    assert raw.startswith(b"HTTP/1.1 201 ")
    assert id.encode() in raw
    assert is_replay(await nats_caller.book({**body, "idempotencyKey": key}), first)
    beside = await nats_caller.request("booking.v1.book", body, {"Idempotency-Key": key})
    assert is_replay(beside, first)
    async with BookingClient(stack.env["NATS_URL"]) as client:
        booked = await client.book(body["slot"], body["patientName"], site=body["site"], idempotency_key=key)
    assert (booked.id, booked.replayed) == (id, True)
    words = [body["slot"], body["patientName"], "--site", body["site"], "--key", key, "--json"]
    typed = await asyncio.to_thread(
        CliRunner(env={"SLOTKEEPER_URL": stack.url}).invoke, app, ["book", *words]
    )
    assert typed.exit_code == 0, typed.output
    assert id in typed.output


async def test_the_same_request_in_another_spelling_is_a_replay(caller: Caller) -> None:
    """A request stays the same with another field order, spelling of instant or name, or hold token."""
    body = fresh("José")
    first = await caller.book(body, **KEY)
    again = {
        "site": body["site"],
        "patientName": " Jose\u0301",
        "slot": "2031-05-04T11:00:00+02:00",
        "holdToken": "6f1c1a52-9d5e-4b7e-8a43-0c6b3a8c7d10",
    }
    assert is_replay(await caller.book(again, **KEY), first)


@pytest.mark.parametrize(
    "change",
    [{"slot": "2031-05-04T09:00:00.001Z"}, {"patientName": "Grace"}, {"resources": ["default", "room"]}],
    ids=str,
)
async def test_a_key_of_another_request_gets_422(
    caller: Caller, appointments: Collection[dict[str, Any]], change: dict[str, Any]
) -> None:
    """A key that was used for another request gets 422 and changes nothing, even if the slot is free."""
    body = fresh("Ada")
    assert (await caller.book(body, **KEY)).status == 201
    answer = await caller.book({**body, **change}, **KEY)
    assert (answer.status, answer.body) == (422, REUSED)
    assert appointments.count_documents({"site": body["site"]}) == 1


async def test_keys_are_scoped_to_the_site(caller: Caller) -> None:
    """The same key in two sites makes two bookings."""
    answers = [await caller.book(fresh(), **KEY) for _ in range(2)]
    assert len({answer.body["appointment"]["id"] for answer in answers}) == 2


async def test_http_and_nats_share_keys(http_caller: HttpCaller, nats_caller: NatsCaller) -> None:
    """A booking that was made over HTTP is replayed over NATS."""
    body = fresh()
    first = await http_caller.book(body, **KEY)
    assert is_replay(await nats_caller.book(body, **KEY), first)


@pytest.mark.parametrize("ways", [("http",), ("nats",), ("http", "nats")], ids="+".join)
async def test_64_simultaneous_requests_with_one_key_make_one_booking(
    ways: tuple[str, ...],
    http_caller: HttpCaller,
    nats_caller: NatsCaller,
    appointments: Collection[dict[str, Any]],
) -> None:
    """64 simultaneous requests with one key make one row and get 64 equal answers, 63 of them replays."""
    callers: list[Caller] = [http_caller if way == "http" else nats_caller for way in ways]
    body = fresh()
    answers = await asyncio.gather(*(callers[n % len(callers)].book(body, **KEY) for n in range(64)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body["appointment"]["id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert appointments.count_documents({"site": body["site"]}) == 1


async def test_one_key_for_many_slots_at_once_books_one_slot(caller: Caller) -> None:
    """If different requests race with one key, one is booked and the rest get 422."""
    site = fresh_site()
    bodies = [fresh(slot=f"2031-05-04T09:{minute:02}:00Z", site=site) for minute in range(30)]
    answers = await asyncio.gather(*(caller.book(body, **KEY) for body in bodies))
    assert sorted(answer.status for answer in answers) == [201] + [422] * 29


async def test_refusals_are_not_remembered(caller: Caller, appointments: Collection[dict[str, Any]]) -> None:
    """A retry of a refused request is judged again once it is later by more than the clocks may differ."""
    body = fresh("Ada")
    assert (await caller.book(body)).status == 201
    rival = {**body, "patientName": "Grace"}
    assert (await caller.book(rival, **KEY)).status == 409
    appointments.update_one({"site": body["site"]}, {"$set": {"status": "cancelled"}})
    async with asyncio.timeout(20):
        while (answer := await caller.book(rival, **KEY)).status == 503:
            assert answer.headers["error-type"] == "AskedEarlier"
            assert answer.headers["retry-after"] == "1"
    assert answer.status == 201


async def test_a_replay_of_a_cancelled_booking_gets_409_with_it(
    caller: Caller, appointments: Collection[dict[str, Any]]
) -> None:
    """A replay of a booking that was cancelled gets 409 with that booking, and books nothing."""
    body = fresh("Ada")
    first = await caller.book(body, **KEY)
    appointments.update_one({"site": body["site"]}, {"$set": {"status": "cancelled"}})
    cancelled = await caller.book(body, **KEY)
    appointment = {**first.body["appointment"], "status": "cancelled"}
    assert (cancelled.status, cancelled.body) == (409, is_cancelled(appointment))
    assert cancelled.headers["error-type"] == "AppointmentCancelled"
    assert (await caller.book({**body, "patientName": "Grace"}, **KEY)).status == 422
    assert (await caller.hold({**body, "patientName": "Grace"})).status == 200
    assert (await caller.book(body, **KEY)).body == cancelled.body


async def test_a_replay_uses_up_its_patients_hold(
    caller: Caller, stack: Stack, appointments: Collection[dict[str, Any]]
) -> None:
    """A replay removes the patient's hold, which a worker killed after its insert leaves behind."""
    body = fresh("Ada", holdToken=str(uuid4()))
    assert (await caller.book(body, **KEY)).status == 201
    redis = connect_redis(stack.env["REDIS_URL"])
    request = PlaceHold.model_validate(body)
    store = HoldStore(Scripts(SingleServer(redis)), hold_ms=60_000, max_ms=60_000)
    claims = Claims.of(request, Grid(0).slot_range(request))
    wanted = HoldRequest(claims, Holder(str(request.holdToken), "digest"), unix_ms_now())
    assert await store.place_many([wanted], Deadline.after(60))
    await redis.aclose()
    assert (await caller.book(body, **KEY)).status == 201
    appointments.update_one({"site": body["site"]}, {"$set": {"status": "cancelled"}})
    assert (await caller.book({**body, "patientName": "Grace", "holdToken": None})).status == 201


async def test_a_replay_of_a_cancelled_booking_keeps_a_new_hold(
    caller: Caller, appointments: Collection[dict[str, Any]]
) -> None:
    """A late replay of a cancelled booking keeps the hold that the patient has placed since."""
    body = fresh("Ada")
    assert (await caller.book(body, **KEY)).status == 201
    appointments.update_one({"site": body["site"]}, {"$set": {"status": "cancelled"}})
    assert (await caller.hold(body)).status == 200
    assert (await caller.book(body, **KEY)).body["appointment"]["status"] == "cancelled"
    assert (await caller.book({**body, "patientName": "Grace"})).status == 409


async def test_without_the_key_lookup_a_retry_is_refused(servers: Servers) -> None:
    """Control: a worker that does not look for the row with the key answers a retry with 409."""
    with servers.new_stack() as stack:
        stack.start_gateway()
        stack.start("booking_worker", without="no_key_lookup")
        stack.start("hold_worker")
        stack.wait_ready()
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            caller, body = HttpCaller(client), fresh()
            assert (await caller.book(body, **KEY)).status == 201
            assert (await caller.book(body, **KEY)).status == 409
