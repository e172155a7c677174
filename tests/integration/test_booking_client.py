"""The public client: how it maps arguments to commands, and replies to results."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared import BookAppointment, BookingClient, InvalidRequest, MoveAppointment, PlaceHold
from shared.contract.operations import BOOK, LIST, LIST_SLOTS, MOVE
from tests.integration.stand_in import BOOKED, PATIENCE, standing_in
from tests.servers import Servers

ID = "0b5f2a53-6f0e-4d1c-9a53-0c9f1f3a2c11"
TOKEN = "6f1c1a52-9d5e-4b7e-8a43-0c6b3a8c7d10"
NINE = datetime(2031, 5, 4, 9, tzinfo=UTC)
APPOINTMENT = json.loads(BOOKED)["body"]["appointment"]
REPLAYED = b'%b,"headers":{"Idempotency-Replayed":"true"}}' % BOOKED[:-1]


def ok(**body: Any) -> bytes:
    return json.dumps({"status": 200, "body": body}).encode()


def patient(url: str) -> BookingClient:
    """Make a client that no answer reaches too late."""
    return BookingClient(url, timeout=PATIENCE)


async def test_booking_by_plain_arguments(servers: Servers) -> None:
    """Every option of `book` has its field on the wire, and the result is the appointment."""
    met: list[dict[str, Any]] = []
    async with (
        standing_in(servers, BOOK.many_subject, [REPLAYED], met) as url,
        patient(url) as client,
    ):
        booked = await client.book(
            "2031-05-04T11:00+02:00",
            "Ada",
            site="harbour",
            resources=["room-2", "dr-lee"],
            duration_minutes=45,
            hold_token=TOKEN,
            idempotency_key="web-1",
        )
    assert met[0]["command"] == {
        "slot": "2031-05-04T09:00:00.000Z",
        "patientName": "Ada",
        "site": "harbour",
        "resources": ["dr-lee", "room-2"],
        "durationMinutes": 45,
        "holdToken": TOKEN,
        "idempotencyKey": "web-1",
    }
    assert (booked.id, booked.slot, booked.replayed) == ("4711", NINE, True)


async def test_command_and_arguments_send_the_same(servers: Servers) -> None:
    """A command object and the same arguments send the same command, and return the same result."""
    met: list[dict[str, Any]] = []
    replies: list[bytes] = [BOOKED, BOOKED]
    command = BookAppointment(slot=NINE, patientName="Ada", resources=("dr-lee",), idempotencyKey="web-1")
    async with (
        standing_in(servers, BOOK.many_subject, replies, met) as url,
        patient(url) as client,
    ):
        by_command = await client.book(command)
        by_arguments = await client.book(NINE, "Ada", resources=["dr-lee"], idempotency_key="web-1")
    assert met[0]["command"] == met[1]["command"]
    assert by_command == by_arguments
    assert not by_command.replayed


async def test_move_sends_only_the_named_fields(servers: Servers) -> None:
    """A field that a move leaves out is not sent, so it keeps its value."""
    met: list[dict[str, Any]] = []
    moved = ok(message="Booking moved", appointment=APPOINTMENT)
    replies: list[bytes] = [moved, moved]
    async with (
        standing_in(servers, MOVE.many_subject, replies, met) as url,
        patient(url) as client,
    ):
        appointment = await client.move(ID, slot=NINE, move_id=TOKEN)
        await client.move(MoveAppointment(id=ID, durationMinutes=30, moveId=TOKEN))
    assert [item["command"] for item in met] == [
        {"slot": "2031-05-04T09:00:00.000Z", "id": ID, "moveId": TOKEN},
        {"durationMinutes": 30, "id": ID, "moveId": TOKEN},
    ]
    assert appointment.id == "4711"


async def test_pages_are_read_lazily(servers: Servers) -> None:
    """A page is requested with the cursor of the previous one, and only when the loop needs it."""
    met: list[dict[str, Any]] = []
    pages: list[bytes] = [
        ok(appointments=[APPOINTMENT], next="abc"),
        ok(appointments=[], next="def"),
        ok(appointments=[APPOINTMENT]),
    ]
    async with (
        standing_in(servers, LIST.subject, pages, met) as url,
        patient(url) as client,
    ):
        appointments = client.appointments(NINE, "2031-05-05T09:00Z", resource="dr-lee")
        assert (await anext(appointments)).id == "4711"
        assert len(met) == 1
        assert [appointment.id async for appointment in appointments] == ["4711"]
    window = {
        "site": "default",
        "resource": ["dr-lee"],
        "from": "2031-05-04T09:00:00.000Z",
        "to": "2031-05-05T09:00:00.000Z",
    }
    assert met == [window, {**window, "cursor": "abc"}, {**window, "cursor": "def"}]


async def test_taken_slots_of_all_pages_come_in_one_loop(servers: Servers) -> None:
    """One loop yields the taken slots of all pages."""
    day = ("2031-05-04T00:00Z", "2031-05-05T00:00Z")
    window = {"site": "default", "from": day[0], "to": day[1], "holds": "known"}
    at = {"resource": "default", "slot": "2031-05-04T09:00:00.000Z"}
    booked, held = ({**at, "state": state} for state in ("booked", "held"))
    pages: list[bytes] = [ok(**window, taken=[booked], next="abc"), ok(**window, taken=[held])]
    async with (
        standing_in(servers, LIST_SLOTS.subject, pages) as url,
        patient(url) as client,
    ):
        taken = [slot async for slot in client.slots(*day)]
    assert [(slot.slot, slot.state) for slot in taken] == [(NINE, "booked"), (NINE, "held")]


WRONG: list[tuple[Callable[[BookingClient], Awaitable[object]], str]] = [
    (lambda client: client.book("tomorrow", "Ada"), "slot must be"),
    (lambda client: client.book(datetime(2031, 5, 4), "Ada"), "slot must be"),
    (lambda client: client.book(NINE, ""), "Missing slot or patientName"),
    (lambda client: client.hold(NINE, "Ada", hold_token="1"), "holdToken must be"),
    (lambda client: client.release(""), "Missing holdToken"),
    (lambda client: client.move(ID, resources=[]), "resources must be"),
    (lambda client: anext(client.slots("2031-01-01T00:00Z", "2031-03-01T00:00Z")), "to must be"),
]


@pytest.mark.parametrize(("ask", "sentence"), WRONG)
async def test_wrong_argument_is_an_invalid_request(
    ask: Callable[[BookingClient], Awaitable[object]], sentence: str
) -> None:
    """The client refuses a wrong argument with the service's own sentence, before it sends anything."""
    with pytest.raises(InvalidRequest, match=sentence):
        await ask(BookingClient("nats://127.0.0.1:1"))


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:4222",
        "redis://localhost:4222",
        "localhost:4222",
        "localhost",
        "nats://",
        "nats://:4222",
        "nats://localhost:port",
        "nats://localhost:99999",
        "nats://local host",
        "nats://localhost:4222,http://ada:secret@localhost",
        "",
    ],
)
def test_wrong_url_fails_at_once(url: str) -> None:
    """A malformed URL fails at once, with a sentence that repeats no part of it."""
    with pytest.raises(ValueError, match="url must be nats://HOST:PORT") as refused:
        BookingClient(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("timeout", [0.99, 0, -1, float("nan"), float("inf")])
def test_timeout_below_a_second_is_refused(timeout: float) -> None:
    """A timeout is at least 1 s: an attempt, a third of it, must exceed the clock skew."""
    with pytest.raises(ValueError, match="timeout must be a number of seconds, at least 1"):
        BookingClient("nats://localhost:4222", timeout=timeout)


@pytest.mark.parametrize(
    ("slot", "sentence"),
    [
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))), "between the years 1 and 9999"),
        (datetime.max.replace(tzinfo=ZoneInfo("America/New_York")), "between the years 1 and 9999"),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "between the years 1 and 9999"),
        (datetime(2031, 3, 30, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")), "whose clocks skip it"),
        (datetime(2031, 3, 30, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")), "whose clocks skip it"),
        (datetime(2031, 3, 9, 2, tzinfo=ZoneInfo("America/New_York")), "whose clocks skip it"),
        (datetime(2024, 9, 8, tzinfo=ZoneInfo("America/Santiago")), "whose clocks skip it"),
        (datetime(2011, 12, 30, 9, tzinfo=ZoneInfo("Pacific/Apia")), "whose clocks skip it"),
        (datetime(2031, 5, 4), "must be a datetime with a time zone"),
    ],
)
async def test_datetime_that_is_no_instant_is_refused(slot: datetime, sentence: str) -> None:
    """A datetime that is no instant, for any zone and fold, is refused, never booked as another instant."""
    with pytest.raises(InvalidRequest, match=f"slot .*{sentence}"):
        await BookingClient("nats://127.0.0.1:1").book(slot, "Ada")


@pytest.mark.parametrize(("fold", "hour"), [(0, 0), (1, 1)])
def test_fold_decides_between_two_instants(fold: int, hour: int) -> None:
    """If a datetime occurs twice, its `fold` decides which instant is booked."""
    slot = datetime(2031, 10, 26, 2, 30, fold=fold, tzinfo=ZoneInfo("Europe/Berlin"))
    command = PlaceHold(slot=slot, patientName="Ada")
    assert command.slot == datetime(2031, 10, 26, hour, 30, tzinfo=UTC)


async def test_command_takes_no_options_beside_it() -> None:
    """An option beside a command object raises an error; the client does not drop it silently."""
    untyped: Any = BookingClient("nats://127.0.0.1:1")
    with pytest.raises(TypeError):
        await untyped.hold(PlaceHold(slot=NINE, patientName="Ada"), site="harbour")
    with pytest.raises(TypeError):
        await untyped.move(MoveAppointment(id=ID, slot=NINE), slot=NINE)
