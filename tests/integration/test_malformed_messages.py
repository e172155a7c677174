"""Malformed messages, which no client library would send, disturb no other message."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import nats
import pytest
import structlog
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nats.aio.client import Client

from shared.client.client import BookingClient
from shared.process.nats_wire import round_trip
from tests.callers import HttpCaller, NatsCaller
from tests.raw_nats import RawNats, raw_nats
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack

MALFORMED = [b"NATS/1.0 \xff\xfe\xff\xff", b"NATS", b"NATS/1.0 100 \xff\xff", b"NATS/1.0\r\nno colon\r\n\r\n"]
PATIENCE_SECONDS = 30
"""Long enough to distinguish an attempt that a slow machine answers late from a lost attempt."""
UNANSWERED = "attempt_unanswered"
LONG = b"NATS/1.0\r\n" + b"a:b\r\n" * 180_000 + b"\r\n"
NO_FIELD_ENDS = st.binary(max_size=40).map(lambda raw: raw.translate(None, b" \t\r\n"))
SUBJECTS = [
    "booking.v1.ready",
    "booking.v1.book",
    "booking.v1.book_many",
    "booking.v1.get",
    "booking.v1.list",
    "hold.v1.place",
    "hold.v1.place_many",
    "hold.v1.release",
    "hold.v1.ready",
]


@pytest.fixture
async def raw(stack: Stack) -> AsyncIterator[RawNats]:
    async with raw_nats(stack.env["NATS_URL"]) as raw:
        yield raw


@pytest.fixture(scope="module")
def alone(servers: Servers) -> Iterator[Stack]:
    """Start one worker of each kind, so that the next command goes to the worker that was disturbed."""
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS=str(PATIENCE_SECONDS)) as stack:
        yield stack.up(booking_workers=1)


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("headers", MALFORMED)
async def test_malformed_headers_are_answered_400(raw: RawNats, subject: str, headers: bytes) -> None:
    """A command with unreadable headers and a valid reply subject gets 400."""
    answer = await raw.ask(subject, b"{}", headers=headers)
    assert (answer["status"], answer["body"]) == (400, {"error": "The headers cannot be read"})


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_a_megabyte_of_headers_is_answered_413_at_once(
    stack: Stack, raw: RawNats, subject: str
) -> None:
    """Headers longer than the limit of a request get 413 unparsed; parsing them would take a second."""
    before = [worker.cpu_seconds for worker in stack.workers()]
    assert (await raw.ask(subject, headers=LONG))["status"] == 413
    spent = [worker.cpu_seconds - was for worker, was in zip(stack.workers(), before, strict=True)]
    assert max(spent) < 0.5


@pytest.mark.parametrize(
    ("reply", "headers"),
    [
        *((b"\xff\xfe", headers) for headers in (b"", *MALFORMED)),
        (b"a\x0b5", b""),
        (b"\x0c", b"NATS/1.0\r\n\r\n"),
        (b"a\x0b" * 600, b""),
        *((b"", headers) for headers in MALFORMED),
        (b"", LONG),
    ],
)
async def test_malformed_messages_delay_no_booking(alone: Stack, reply: bytes, headers: bytes) -> None:
    """No malformed message makes a worker or a gateway stop reading, or lose its connection."""
    async with (
        raw_nats(alone.env["NATS_URL"]) as raw,
        httpx.AsyncClient(base_url=alone.url, timeout=20) as http,
    ):
        caller = HttpCaller(http)
        for _ in range(5):
            for subject in (*SUBJECTS[:4], "_INBOX.x.y"):
                await raw.publish(subject, b"{}", reply=reply, headers=headers)
            assert (await caller.book(fresh())).status == 201
    for service in alone.services:
        assert UNANSWERED not in service.log
        assert "nats_disconnected" not in service.log


async def test_without_the_guard_a_malformed_message_stops_a_worker(servers: Servers) -> None:
    """Control: a worker without the guard of its parser stops answering, though it remains connected."""
    with servers.new_stack() as stack:
        stack.start("booking_worker", without="no_message_guard")
        await asyncio.to_thread(stack.wait_serving)
        async with (
            raw_nats(stack.env["NATS_URL"]) as raw,
            await nats.connect(stack.env["NATS_URL"]) as caller,
        ):
            await raw.publish("booking.v1.ready", headers=MALFORMED[0])
            await raw.flush()
            with pytest.raises(TimeoutError):
                await NatsCaller(caller, reply_seconds=1).book(fresh())


async def observed_inbox(connection: Client) -> asyncio.Future[str]:
    """Return a future of the inbox prefix of the next client that sends a booking."""
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def note(message: object) -> None:
        reply: str = message.reply  # type: ignore[attr-defined]
        if not seen.done():
            seen.set_result(reply.rpartition(".")[0])

    await connection.subscribe("booking.v1.book_many", cb=note)
    await round_trip(connection)
    return seen


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    subject=st.sampled_from([*SUBJECTS, ""]),
    reply=NO_FIELD_ENDS,
    headers=st.one_of(
        st.just(b""),
        st.binary(max_size=60),
        st.binary(max_size=60).map(lambda raw: b"NATS/1.0" + raw),
        st.binary(max_size=60).map(lambda raw: b"NATS/1.0 100 " + raw + b"\r\n\r\n"),
        st.binary(max_size=60).map(lambda raw: b"NATS/1.0\r\nDeadline: " + raw + b"\r\n\r\n"),
    ),
    payload=st.one_of(
        st.binary(max_size=60),
        st.sampled_from([b"[" * 100_000, b'{"commands":[' + b"[" * 8000, b'{"id":' + b"9" * 5000 + b"}"]),
    ),
)
@example(subject="", reply=b"\xff", headers=MALFORMED[0], payload=b"")
async def test_no_bytes_disturb_a_booking(
    stack: Stack, subject: str, reply: bytes, headers: bytes, payload: bytes
) -> None:
    """Any bytes as headers, reply subject or payload, to a worker or a client's inbox, disturb no booking."""
    async with (
        await nats.connect(stack.env["NATS_URL"]) as spy,
        BookingClient(stack.env["NATS_URL"], timeout=PATIENCE_SECONDS) as client,
        raw_nats(stack.env["NATS_URL"]) as raw,
    ):
        inbox = await observed_inbox(spy)
        body = fresh()
        await client.book(body["slot"], "Ada", site=body["site"])
        async with asyncio.timeout(PATIENCE_SECONDS):
            to = subject.encode() or (await inbox).encode() + b"." + (reply or b"x")
        await spy.close()  # it parses as the client library does: the next messages could stop it
        await raw.publish(to, payload, reply=reply, headers=headers)
        await raw.publish(to, payload, reply=reply, headers=headers)
        await raw.flush()  # so that the next example's spy receives none of this
        body = fresh()
        with structlog.testing.capture_logs() as lines:
            booked = await client.book(body["slot"], "Ada", site=body["site"])
        assert booked.status == "booked"
        assert UNANSWERED not in [line["event"] for line in lines]


async def test_all_workers_are_connected_after_the_fuzz(stack: Stack) -> None:
    """After all malformed messages no worker has lost its connection or stopped reading."""
    assert httpx.get(f"{stack.url}/readyz").status_code == 200
    for service in stack.services:
        assert "nats_reading_ended" not in service.log
        assert "command_failed" not in service.log
