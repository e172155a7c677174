"""What only NATS has: deadlines, service headers, and the typed client."""

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
    """A command that is met too late gets 503, and nothing is booked."""
    body = fresh()
    late = await nats_caller.request(BOOK.subject, body, {"Deadline": str(int(time.time() * 1000) - 1)})
    assert (late.status, late.body["outcome"]) == (503, "not_executed")
    assert late.headers["retry-after"] == "1"
    assert (await nats_caller.book(body)).status == 201


async def test_a_hold_or_a_read_past_its_deadline_is_not_executed(nats_caller: NatsCaller) -> None:
    """Every command that is met too late gets 503; a hold leaves nothing in its slot's way."""
    passed, body = {"Deadline": str(int(time.time() * 1000) - 1)}, fresh("Ada")
    for subject, command in (("hold.v1.place", body), ("booking.v1.get", {"id": str(uuid4())})):
        late = await nats_caller.request(subject, command, passed)
        assert (late.status, late.body["outcome"]) == (503, "not_executed")
    assert (await nats_caller.book({**body, "patientName": "Grace"})).status == 201


async def test_a_late_booking_hears_nothing_of_holds(nats_caller: NatsCaller) -> None:
    """A booking that is met too late gets 503, of a slot that another holds too."""
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
    """Tools that know NATS services see an error in the headers that they look at."""
    body = fresh()
    booked, refused = await nats_caller.book(body), await nats_caller.book(body)
    assert refused.headers["nats-service-error-code"] == "409"
    assert refused.headers["nats-service-error"] == "Slot already booked"
    assert "nats-service-error" not in booked.headers


async def test_an_empty_message_is_answered(nats_caller: NatsCaller) -> None:
    """Whatever is sent gets an answer."""
    assert (await nats_caller.request(BOOK.subject, b"")).error == "Missing slot or patientName"
    assert (await nats_caller.request("booking.v1.get", b"")).error == "Missing id"
    assert (await nats_caller.request("booking.v1.get", {"id": {"$ne": None}})).error == "id must be a string"


async def test_a_command_without_a_reply_subject_is_executed(
    nats_connection: Client, nats_caller: NatsCaller
) -> None:
    """A caller that does not want to hear the answer is served all the same."""
    body = fresh()
    await nats_connection.publish(BOOK.subject, json.dumps(body).encode())
    await round_trip(nats_connection)
    deadline = time.monotonic() + 20
    while (answer := await nats_caller.hold(body)).status in (200, 503) and time.monotonic() < deadline:
        if answer.status == 200:
            body = {**body, "holdToken": answer.body["hold"]["token"]}
    assert answer.error == "Slot already booked"


async def test_workers_say_whether_they_are_ready(nats_caller: NatsCaller) -> None:
    """Each kind of worker answers for itself and its servers."""
    for subject in ("booking.v1.ready", "hold.v1.ready"):
        answer = await nats_caller.request(subject, b"")
        assert (answer.status, answer.body) == (
            200,
            {"ready": True, "checks": {"nats": "ok", "mongodb": "ok", "redis": "ok", "clock": "ok"}},
        )


async def test_asking_whether_it_is_ready_keeps_no_booking_away(
    nats_caller: NatsCaller, nats_connection: Client
) -> None:
    """However often a worker is asked whether it is ready, there is room for what it is there for."""
    for _ in range(3000):
        await nats_connection.publish("booking.v1.ready", b"{}")
    answers = await asyncio.gather(*(nats_caller.book(fresh()) for _ in range(20)))
    assert {answer.status for answer in answers} == {201}


async def test_the_typed_client_books_and_reads(stack: Stack) -> None:
    """Other Python services book with typed commands, and get typed replies."""
    slot = datetime(2031, 5, 4, 9, tzinfo=UTC)
    async with CommandClient(stack.env["NATS_URL"]) as client:
        command = BookAppointment(slot=slot, patientName="Ada", site=fresh_site())
        booked = await client.send(BOOK, command)
        assert (booked.status, booked.body.appointment.slot) == (201, slot)
        found = await client.send(GET, GetAppointment(id=booked.body.appointment.id))
        assert found.body.appointment == booked.body.appointment


async def test_the_typed_client_raises_refusals(stack: Stack) -> None:
    """Each refusal is an exception of its own."""
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
async def test_who_no_longer_waits_for_a_round_trip_leaves_the_connection_whole(
    stack: Stack, turns: int
) -> None:
    """A worker may be stopped in the middle of a round trip; it still receives what NATS has for it."""
    async with await nats.connect(stack.env["NATS_URL"]) as connection:
        waiting = asyncio.create_task(round_trip(connection))
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        assert (await NatsCaller(connection).book(fresh())).status == 201


@pytest.mark.parametrize("name", ["deadline", "DEADLINE", "Deadline"])
async def test_a_header_is_read_in_any_case(nats_caller: NatsCaller, name: str) -> None:
    """A deadline that has passed is kept, however the header is written."""
    answer = await nats_caller.request(BOOK.subject, fresh(), {name: "1"})
    assert (answer.status, answer.body["outcome"]) == (503, "not_executed")


async def test_a_key_may_be_sent_as_a_header(nats_caller: NatsCaller) -> None:
    """`Idempotency-Key` is the field of that name: with it a booking is made once."""
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
        ({}, {"Idempotency-Key": "one", "Idempotency-Key ": "one"}),  # blanks are not sent
    ],
)
async def test_two_keys_are_refused(
    nats_caller: NatsCaller, field: dict[str, str], headers: dict[str, str]
) -> None:
    """A key that is sent twice, or as two, is refused by its name."""
    answer = await nats_caller.request(BOOK.subject, {**fresh(), **field}, headers)
    assert answer.status == 400
    assert "Idempotency-Key" in answer.error
