"""NATS alone has deadlines, service headers, readiness subjects, and the typed client."""

import asyncio
import json
import time
from datetime import UTC, datetime
from uuid import uuid4

import nats
import pytest
from nats.aio.client import Client

from shared.client.command_client import CommandClient
from shared.contract.commands import BookAppointment, GetAppointment, PlaceHold
from shared.contract.errors import InvalidRequest, NoSuchAppointment, SlotAlreadyBooked, SlotHeld
from shared.contract.operations import BOOK, GET, PLACE
from shared.process.nats_wire import round_trip
from tests.callers import NatsCaller
from tests.slots import fresh, fresh_site
from tests.stack import Stack


async def test_a_command_past_its_deadline_is_not_executed(nats_caller: NatsCaller) -> None:
    """A booking that a worker receives after its deadline gets 503 and books nothing."""
    body = fresh()
    late = await nats_caller.request(BOOK.subject, body, {"Deadline": str(int(time.time() * 1000) - 1)})
    assert (late.status, late.body["outcome"]) == (503, "not_executed")
    assert late.headers["retry-after"] == "1"
    assert (await nats_caller.book(body)).status == 201


async def test_a_hold_or_a_read_past_its_deadline_is_not_executed(nats_caller: NatsCaller) -> None:
    """A hold or read that a worker receives after its deadline gets 503, and the slot stays free."""
    passed, body = {"Deadline": str(int(time.time() * 1000) - 1)}, fresh("Ada")
    for subject, command in (("hold.v1.place", body), ("booking.v1.get", {"id": str(uuid4())})):
        late = await nats_caller.request(subject, command, passed)
        assert (late.status, late.body["outcome"]) == (503, "not_executed")
    assert (await nats_caller.book({**body, "patientName": "Grace"})).status == 201


async def test_a_late_booking_of_a_held_slot_gets_503(nats_caller: NatsCaller) -> None:
    """A booking after its deadline gets 503 even if another patient holds the slot."""
    body = fresh("Ada")
    assert (await nats_caller.hold(body)).status == 200
    passed = {"Deadline": str(int(time.time() * 1000) - 1)}
    late = await nats_caller.request(BOOK.subject, {**body, "patientName": "Grace"}, passed)
    assert (late.status, late.body["outcome"]) == (503, "not_executed")


@pytest.mark.parametrize("deadline", ["soon", "-1", "1e12", "1.5", " ", "9" * 20])
async def test_a_malformed_deadline_is_refused(nats_caller: NatsCaller, deadline: str) -> None:
    """A deadline is a Unix time in whole milliseconds."""
    answer = await nats_caller.request(BOOK.subject, fresh(), {"Deadline": deadline})
    assert answer.status == 400
    assert answer.error.startswith("Deadline")


async def test_a_refusal_carries_the_service_headers(nats_caller: NatsCaller) -> None:
    """A refusal carries the error headers of the NATS services API; a success does not."""
    body = fresh()
    booked, refused = await nats_caller.book(body), await nats_caller.book(body)
    assert refused.headers["nats-service-error-code"] == "409"
    assert refused.headers["nats-service-error"] == "Slot already booked"
    assert "nats-service-error" not in booked.headers


async def test_an_empty_message_is_answered(nats_caller: NatsCaller) -> None:
    """An empty message, or an id of another type, gets an error that names the field."""
    assert (await nats_caller.request(BOOK.subject, b"")).error == "Missing slot or patientName"
    assert (await nats_caller.request("booking.v1.get", b"")).error == "Missing id"
    assert (await nats_caller.request("booking.v1.get", {"id": {"$ne": None}})).error == "id must be a string"


async def test_a_command_without_a_reply_subject_is_executed(
    nats_connection: Client, nats_caller: NatsCaller
) -> None:
    """A booking without a reply subject is executed."""
    body = fresh()
    await nats_connection.publish(BOOK.subject, json.dumps(body).encode())
    await round_trip(nats_connection)
    deadline = time.monotonic() + 20
    while (answer := await nats_caller.hold(body)).status in (200, 503) and time.monotonic() < deadline:
        if answer.status == 200:
            body = {**body, "holdToken": answer.body["hold"]["token"]}
    assert answer.error == "Slot already booked"


async def test_workers_answer_whether_they_are_ready(nats_caller: NatsCaller) -> None:
    """A worker of either kind answers whether NATS, MongoDB, Redis and the clock are ok."""
    for subject in ("booking.v1.ready", "hold.v1.ready"):
        answer = await nats_caller.request(subject, b"")
        assert (answer.status, answer.body) == (
            200,
            {"ready": True, "checks": {"nats": "ok", "mongodb": "ok", "redis": "ok", "clock": "ok"}},
        )


async def test_readiness_requests_take_no_capacity_of_bookings(
    nats_caller: NatsCaller, nats_connection: Client
) -> None:
    """3000 readiness requests take no capacity of a worker from its bookings."""
    for _ in range(3000):
        await nats_connection.publish("booking.v1.ready", b"{}")
    answers = await asyncio.gather(*(nats_caller.book(fresh()) for _ in range(20)))
    assert {answer.status for answer in answers} == {201}


async def test_the_typed_client_books_and_reads(stack: Stack) -> None:
    """The typed client sends typed commands and returns typed replies."""
    slot = datetime(2031, 5, 4, 9, tzinfo=UTC)
    async with CommandClient(stack.env["NATS_URL"]) as client:
        command = BookAppointment(slot=slot, patientName="Ada", site=fresh_site())
        booked = await client.send(BOOK, command)
        assert (booked.status, booked.body.appointment.slot) == (201, slot)
        found = await client.send(GET, GetAppointment(id=booked.body.appointment.id))
        assert found.body.appointment == booked.body.appointment


async def test_the_typed_client_raises_refusals(stack: Stack) -> None:
    """The typed client raises every refusal as an exception of its own class."""
    async with CommandClient(stack.env["NATS_URL"]) as client:
        slot, site = datetime(2031, 5, 4, 9, tzinfo=UTC), fresh_site()
        await client.send(PLACE, PlaceHold(slot=slot, patientName="Ada", site=site))
        with pytest.raises(SlotHeld):
            await client.send(BOOK, BookAppointment(slot=slot, patientName="Grace", site=site))
        await client.send(BOOK, BookAppointment(slot=slot, patientName="Ada", site=site))
        with pytest.raises(SlotAlreadyBooked):
            await client.send(BOOK, BookAppointment(slot=slot, patientName="Ada", site=site))
        with pytest.raises(NoSuchAppointment):
            await client.send(GET, GetAppointment(id="nothing"))
        many = tuple(f"r{number}" for number in range(8))
        with pytest.raises(InvalidRequest, match="durationMinutes"):
            await client.send(
                BOOK, BookAppointment(slot=slot, patientName="Ada", resources=many, durationMinutes=1440)
            )


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancelled_round_trip_leaves_the_connection_usable(stack: Stack, turns: int) -> None:
    """If a round trip is cancelled at any point, the connection still sends and receives."""
    async with await nats.connect(stack.env["NATS_URL"]) as connection:
        waiting = asyncio.create_task(round_trip(connection))
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        assert (await NatsCaller(connection).book(fresh())).status == 201


@pytest.mark.parametrize("name", ["deadline", "DEADLINE", "Deadline"])
async def test_a_header_is_read_in_any_case(nats_caller: NatsCaller, name: str) -> None:
    """A `Deadline` header is read in upper, lower or mixed case."""
    answer = await nats_caller.request(BOOK.subject, fresh(), {name: "1"})
    assert (answer.status, answer.body["outcome"]) == (503, "not_executed")


async def test_a_key_may_be_sent_as_a_header(nats_caller: NatsCaller) -> None:
    """The header `Idempotency-Key` has the effect of the field `idempotencyKey`."""
    body = fresh()
    first = await nats_caller.request(BOOK.subject, body, {"idempotency-key": "one"})
    again = await nats_caller.request(
        BOOK.subject, {**body, "idempotencyKey": "one"}, {"Idempotency-Key": "one"}
    )
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    ("field", "headers"),
    [
        ({"idempotencyKey": "one"}, {"Idempotency-Key": "two"}),
        ({}, {"Idempotency-Key": "one", "idempotency-key": "one"}),
        ({}, {"Idempotency-Key": "one", "Idempotency-Key ": "one"}),  # nats-py does not send the blank
    ],
)
async def test_two_keys_are_refused(
    nats_caller: NatsCaller, field: dict[str, str], headers: dict[str, str]
) -> None:
    """A request with two different keys, or the same header twice, gets 400 that names the header."""
    answer = await nats_caller.request(BOOK.subject, {**fresh(), **field}, headers)
    assert answer.status == 400
    assert "Idempotency-Key" in answer.error
