"""A deployment whose NATS has accounts works as one without, for the gateway and for direct clients."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from nats.js.errors import NotFoundError

from shared import BookingClient, InvalidRequest, NoSuchAppointment, Refused, SlotAlreadyBooked, SlotHeld
from shared.contract.errors import Forbidden
from shared.process.api_keys import write_keys
from shared.process.nats_options import NEEDS_ACCESS
from tests.integration.live_page import NINE, watching
from tests.integration.receiver import receiver
from tests.integration.secure import FULL, KEYS, OTHER, READER, RELAY, SMALL, connected_as, secure_stack
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack

SOON = 5.0


@pytest.fixture(scope="module")
def stack(servers: Servers) -> Iterator[Stack]:
    with secure_stack(servers, WEBHOOKS_ALLOW_PRIVATE="true") as stack:
        yield stack


@pytest.fixture(scope="module")
async def api(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
async def client(stack: Stack) -> AsyncIterator[BookingClient]:
    async with BookingClient(stack.env["NATS_URL"], access=stack.client_access(FULL)) as client:
        yield client


async def test_life_of_a_booking_over_nats(client: BookingClient) -> None:
    """A direct client books, holds, moves, cancels and reads."""
    body = fresh()
    slot, site, name = body["slot"], body["site"], body["patientName"]
    booked = await client.book(slot, name, site=site)
    assert (booked.status, booked.patientName) == ("booked", name)
    with pytest.raises(SlotAlreadyBooked):
        await client.book(slot, "Eve", site=site)
    later = (booked.slot + timedelta(hours=1)).isoformat()
    held = await client.hold(later, "Zoe", site=site)
    with pytest.raises(SlotHeld):
        await client.book(later, "Eve", site=site)
    await client.release(held.token, site=site)
    assert (await client.move(booked.id, slot=later)).version == 2
    day = (booked.slot - timedelta(hours=2), booked.slot + timedelta(hours=4))
    assert [each.id async for each in client.appointments(*day, site=site)] == [booked.id]
    assert [each.state async for each in client.slots(*day, site=site)] == ["booked"]
    assert (await client.cancel(booked.id)).status == "cancelled"
    assert [change.type for change in await client.history(booked.id)] == ["booked", "moved", "cancelled"]
    assert (await client.grid()).slotMinutes == 5


async def test_many_bookings_travel_in_batches(client: BookingClient) -> None:
    """Fifty concurrent bookings of one client are each answered."""
    bodies = [fresh() for _ in range(50)]
    booked = await asyncio.gather(*(client.book(body["slot"], "Ada", site=body["site"]) for body in bodies))
    assert len({each.id for each in booked}) == 50


async def test_life_of_a_booking_over_http(api: httpx.AsyncClient) -> None:
    """The gateway's user books, holds and reads for its callers, with names and in any site."""
    body = fresh("Ada")
    booked = await api.post("/api/book-appointment", json=body)
    assert booked.status_code == 201
    assert booked.json()["appointment"]["patientName"] == "Ada"
    assert (await api.post("/api/book-appointment", json=fresh(slot=body["slot"]))).status_code == 201
    held = await api.post("/api/hold-appointment", json=fresh())
    assert held.status_code == 200
    ready = (await api.get("/readyz")).json()
    assert ready["checks"]["booking_worker"] == "ok, 2 of 2 ready"


async def test_refusals_of_a_direct_client_are_those_of_its_key(stack: Stack, client: BookingClient) -> None:
    """A client with `hold` in clinic-1 holds there alone: 403 for other sites and other operations."""
    body = fresh()
    booked = await client.book(body["slot"], "Ada", site="clinic-1", resources=[body["site"]])
    async with BookingClient(stack.env["NATS_URL"], access=stack.client_access(SMALL)) as small:
        held = await small.hold(body["slot"], "Zoe", site="clinic-1", resources=["own-" + body["site"][:20]])
        assert held.site == "clinic-1"
        for refused in (
            small.hold(body["slot"], "Zoe", site="clinic-2"),
            small.book(body["slot"], "Zoe", site="clinic-1"),
            small.cancel(booked.id),
            small.move(booked.id, resources=["another"]),
            small.appointment(booked.id),
            small.history(booked.id),
        ):
            with pytest.raises(Refused) as caught:
                await refused
            assert (caught.value.status, type(caught.value).__name__) == (403, "Forbidden")
    assert (await client.appointment(booked.id)).version == 1
    with pytest.raises(NoSuchAppointment):
        await client.appointment("00000000-0000-4000-8000-000000000000")


@pytest.mark.parametrize("many", [False, True])
async def test_direct_client_cannot_name_another_caller(stack: Stack, many: bool) -> None:
    """A client that sends a caller is refused; the gateway's user may send one."""
    caller, body = {"id": "gateway", "names": True}, fresh("Ada")
    answers = {}
    for account, user in (("SERVICE", "gateway"), (OTHER, OTHER)):
        subject = f"acct.{account}.{user}.booking.v1.book" + ("_many" if many else "")
        sent = {"commands": [{"command": body, "caller": caller}]} if many else body
        headers = None if many else {"Caller": json.dumps(caller)}
        async with connected_as(stack, user) as (connection, _):
            message = await connection.request(subject, json.dumps(sent).encode(), 10, headers=headers)
        reply = json.loads(message.data)
        answers[user] = reply["replies"][0] if many else reply
    assert answers[OTHER]["status"] == 403
    assert answers["gateway"]["status"] == 201


async def test_control_worker_that_believes_every_sender_serves_forged_callers(servers: Servers) -> None:
    """Control: without the check of senders, a client books in the name of another."""
    with servers.new_secure_stack(KEYS) as unsafe:
        unsafe.start("booking_worker", without="no_sender_check")
        unsafe.wait_serving()
        async with connected_as(unsafe, SMALL) as (connection, _):
            subject, headers = f"acct.{SMALL}.{SMALL}.booking.v1.book", {"Caller": '{"id":"gateway"}'}
            message = await connection.request(
                subject, json.dumps(fresh("Ada")).encode(), 10, headers=headers
            )
    assert json.loads(message.data)["status"] == 201


async def test_revoked_client_is_refused_before_nats_is_reloaded(servers: Servers) -> None:
    """A worker notices within seconds that a key has left the file, or has expired."""
    past = datetime(2026, 1, 2, tzinfo=UTC)
    with servers.new_secure_stack(KEYS) as stack:
        stack.start("booking_worker")
        stack.wait_serving()
        url, keys_file = stack.env["NATS_URL"], stack.keys_file
        async with BookingClient(url, access=stack.client_access(FULL)) as client:
            await client.grid()
            for keys in (KEYS[1:], (KEYS[0].model_copy(update={"expires": past}), *KEYS[1:])):
                write_keys(keys_file, keys)
                await until_refused(client)
                write_keys(keys_file, KEYS)
                await until_served(client)


async def until_refused(client: BookingClient) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await client.grid()
            except Forbidden:
                return


async def until_served(client: BookingClient) -> None:
    async with asyncio.timeout(10):
        while True:
            with suppress(Refused):
                await client.grid()
                return


async def test_events_command_reads_with_an_access_file(stack: Stack, client: BookingClient) -> None:
    """`slotkeeper events --access FILE` prints the events of its client."""
    body, file = fresh(), stack.client_access(OTHER)
    await client.book(body["slot"], "Ada", site=body["site"])
    command = (sys.executable, "-m", "shared.cli", "events", "--site", body["site"], "--json")
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "NATS_URL": stack.env["NATS_URL"], "NATS_ACCESS_FILE": str(file)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    process.terminate()
    await process.wait()
    assert json.loads(line)["site"] == body["site"]


async def test_metrics_and_logs_have_no_user(stack: Stack, client: BookingClient) -> None:
    """Labels and log lines have the subject of the operation, whoever sent the command."""
    body = fresh()
    await client.book(body["slot"], "Ada", site=body["site"])
    logs = "".join(worker.log for worker in stack.workers("booking_worker"))
    assert '"subject":"booking.v1.book_many"' in logs.replace(" ", "")
    assert "acct." not in logs


async def test_client_reads_the_events_of_its_sites(stack: Stack, client: BookingClient) -> None:
    """A client with `events` reads those of its sites, in order, from the first unacknowledged one on."""
    url, access = stack.env["NATS_URL"], stack.client_access(READER)
    room = fresh()["site"]
    booked = [
        await client.book(f"2031-05-04T{hour}:00Z", "Ada", site=site, resources=[room])
        for hour, site in ((10, "clinic-2"), (11, "clinic-1"), (12, "clinic-1"))
    ]
    await client.cancel(booked[2].id)
    expected = [(booked[1].id, "booked"), (booked[2].id, "booked"), (booked[2].id, "cancelled")]
    seen: list[tuple[str, str]] = []
    for count in (1, 3):  # the second reader gets the first event again, which was not acknowledged
        async with (
            BookingClient(url, access=access) as reader,
            asyncio.timeout(30),
            aclosing(reader.events()) as events,
        ):
            seen = []
            while len(seen) < count:
                event = await anext(events)
                assert event.site == "clinic-1"
                if room in event.place.resources:
                    seen.append((event.id, event.type))
    assert seen == expected
    async with BookingClient(url, access=access) as reader:
        with pytest.raises(InvalidRequest):
            reader.events(durable="billing")


@pytest.mark.parametrize(
    ("without", "left"), [("", {FULL}), ("client_consumers_stay", {FULL, OTHER, READER})]
)
async def test_client_without_a_valid_key_has_no_events(
    servers: Servers, without: str, left: set[str]
) -> None:
    """The consumer of a key that is revoked or has expired is deleted, though its NATS user still connects.

    Control: if consumers stay, the client goes on to read events.
    """
    with servers.new_secure_stack(KEYS) as stack:
        stack.start(RELAY, without=without)
        stack.start("booking_worker")
        stack.wait_serving()
        async with connected_as(stack, "operator") as (operator, _):
            jetstream = operator.jetstream()

            async def read_consumers() -> dict[str, list[str]]:
                with suppress(NotFoundError):
                    found = await jetstream.consumers_info("EVENTS")
                    own = [each for each in found if each.name.startswith("client-")]
                    configs = {each.name.removeprefix("client-"): each.config for each in own}
                    return {
                        name: config.filter_subjects or [str(config.filter_subject)]
                        for name, config in configs.items()
                    }
                return {}

            async def until_they_are(names: set[str], of_full: str) -> None:
                async with asyncio.timeout(30):
                    while (now := await read_consumers()).keys() != names or now[FULL] != [of_full]:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)

            await until_they_are({FULL, OTHER, READER}, "event.v1.>")
            keys = {key.id: key for key in KEYS if key.id != READER}
            keys[OTHER] = keys[OTHER].model_copy(update={"expires": datetime(2026, 1, 2, tzinfo=UTC)})
            keys[FULL] = keys[FULL].model_copy(update={"sites": frozenset({"clinic-9"})})
            write_keys(stack.keys_file, keys.values())
            await until_they_are(left, "event.v1.clinic-9.*")


async def test_command_without_an_access_file_names_it(stack: Stack) -> None:
    """`slotkeeper events` ends with 3 and what it needs, and its log does not repeat that."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shared.cli", "events", "--nats", stack.env["NATS_URL"]),
        env={name: value for name, value in os.environ.items() if name != "NATS_ACCESS_FILE"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    *log, last = stderr.decode().splitlines()
    assert (process.returncode, last) == (3, NEEDS_ACCESS)
    assert sum("nats_error" in line for line in log) == 1, log


async def test_live_page_sees_bookings_and_holds(api: httpx.AsyncClient) -> None:
    """The gateway follows events and hints."""
    body = fresh(slot=NINE)
    async with watching(api, body["site"]) as page:
        held = await api.post("/api/hold-appointment", json=body)
        await page.until_shown({(NINE, "default"): "held"}, SOON)
        token = held.json()["hold"]["token"]
        await api.post("/api/book-appointment", json={**body, "holdToken": token})
        await page.until_shown({(NINE, "default"): "booked"}, SOON)


async def test_webhook_is_delivered_listed_tested_and_deleted(api: httpx.AsyncClient) -> None:
    """The gateway and the webhooks process share buckets, test deliveries and events."""
    body = fresh()
    async with receiver() as there:
        created = await api.post("/api/webhooks", json={"url": there.url, "site": body["site"]})
        assert created.status_code == 201, created.text
        path = f"/api/webhooks/{created.json()['id']}"
        tested = await api.post(f"{path}/test")
        assert (tested.status_code, tested.json()["status"]) == (200, 204), tested.text
        await api.post("/api/book-appointment", json=body)
        await there.until(2)
        assert len((await api.get("/api/webhooks")).json()["webhooks"]) == 1
        assert (await api.get(f"{path}/deliveries")).status_code == 200
        assert (await api.post(f"{path}/rotate")).status_code == 200
        assert (await api.post(f"{path}/replay", json={"since": "2020-01-01T00:00Z"})).status_code == 202
        await there.until(3)
        assert (await api.delete(path)).status_code == 200


async def test_no_service_lacks_a_permission(stack: Stack) -> None:
    """After all of the tests above, no service was denied anything."""
    for service in stack.services:
        assert "nats_permission_denied" not in service.log, service.log
