"""The client that others program against: what it makes of arguments and of answers."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared import BookAppointment, BookingClient, InvalidRequest, MoveAppointment, PlaceHold
from shared.contract.operations import BOOK, LIST, LIST_SLOTS, MOVE
from tests.integration.stand_in import BOOKED, standing_in
from tests.servers import Servers

ID = "0b5f2a53-6f0e-4d1c-9a53-0c9f1f3a2c11"
TOKEN = "6f1c1a52-9d5e-4b7e-8a43-0c6b3a8c7d10"
NINE = datetime(2031, 5, 4, 9, tzinfo=UTC)
APPOINTMENT = json.loads(BOOKED)["body"]["appointment"]
REPLAYED = b'%b,"headers":{"Idempotency-Replayed":"true"}}' % BOOKED[:-1]


def ok(**body: Any) -> bytes:
    return json.dumps({"status": 200, "body": body}).encode()


async def test_a_booking_is_made_of_plain_arguments(servers: Servers) -> None:
    """Each option has its field on the wire, and the answer is the appointment itself."""
    met: list[dict[str, Any]] = []
    async with standing_in(servers, BOOK.many_subject, [REPLAYED], met) as url, BookingClient(url) as client:
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


async def test_a_command_says_the_same_as_arguments(servers: Servers) -> None:
    """A booking by a command object is the same booking; that it is no replay is said too."""
    met: list[dict[str, Any]] = []
    replies: list[bytes | None] = [BOOKED, BOOKED]
    command = BookAppointment(slot=NINE, patientName="Ada", resources=("dr-lee",), idempotencyKey="web-1")
    async with standing_in(servers, BOOK.many_subject, replies, met) as url, BookingClient(url) as client:
        by_command = await client.book(command)
        by_arguments = await client.book(NINE, "Ada", resources=["dr-lee"], idempotency_key="web-1")
    assert met[0]["command"] == met[1]["command"]
    assert by_command == by_arguments
    assert not by_command.replayed


async def test_a_move_changes_what_is_said_alone(servers: Servers) -> None:
    """What is left out of a move is not sent, so it stays as it is."""
    met: list[dict[str, Any]] = []
    moved = ok(message="Booking moved", appointment=APPOINTMENT)
    replies: list[bytes | None] = [moved, moved]
    async with standing_in(servers, MOVE.many_subject, replies, met) as url, BookingClient(url) as client:
        appointment = await client.move(ID, slot=NINE, move_id=TOKEN)
        await client.move(MoveAppointment(id=ID, durationMinutes=30, moveId=TOKEN))
    assert [item["command"] for item in met] == [
        {"slot": "2031-05-04T09:00:00.000Z", "id": ID, "moveId": TOKEN},
        {"durationMinutes": 30, "id": ID, "moveId": TOKEN},
    ]
    assert appointment.id == "4711"


async def test_pages_are_read_as_the_loop_comes_to_them(servers: Servers) -> None:
    """A page is asked for by the cursor of the one before, and not before it is needed."""
    met: list[dict[str, Any]] = []
    pages: list[bytes | None] = [
        ok(appointments=[APPOINTMENT], next="abc"),
        ok(appointments=[], next="def"),
        ok(appointments=[APPOINTMENT]),
    ]
    async with (
        standing_in(servers, LIST.subject, pages, met) as url,
        BookingClient(url) as client,
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


async def test_what_is_taken_is_read_page_by_page(servers: Servers) -> None:
    """Slots of all pages come in one loop."""
    day = ("2031-05-04T00:00Z", "2031-05-05T00:00Z")
    window = {"site": "default", "from": day[0], "to": day[1], "holds": "known"}
    at = {"resource": "default", "slot": "2031-05-04T09:00:00.000Z"}
    booked, held = ({**at, "state": state} for state in ("booked", "held"))
    pages: list[bytes | None] = [ok(**window, taken=[booked], next="abc"), ok(**window, taken=[held])]
    async with standing_in(servers, LIST_SLOTS.subject, pages) as url, BookingClient(url) as client:
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
async def test_a_wrong_argument_is_an_invalid_request(
    ask: Callable[[BookingClient], Awaitable[object]], sentence: str
) -> None:
    """It is told as a service would, with the field's name, before anything is sent."""
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
def test_a_wrong_address_fails_at_once(url: str) -> None:
    """Nobody waits for a server that cannot be there; the sentence repeats nothing of the address."""
    with pytest.raises(ValueError, match="url must be nats://HOST:PORT") as refused:
        BookingClient(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("timeout", [0.99, 0, -1, float("nan"), float("inf")])
def test_a_timeout_below_a_second_is_refused(timeout: float) -> None:
    """A third of it, one attempt, must be longer than the clocks of hosts may differ."""
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
async def test_a_datetime_that_is_no_instant_is_an_invalid_request(slot: datetime, sentence: str) -> None:
    """Whatever its zone and its fold are, no other instant is booked instead."""
    with pytest.raises(InvalidRequest, match=f"slot .*{sentence}"):
        await BookingClient("nats://127.0.0.1:1").book(slot, "Ada")


@pytest.mark.parametrize(("fold", "hour"), [(0, 0), (1, 1)])
def test_a_datetime_that_is_twice_is_told_apart_by_its_fold(fold: int, hour: int) -> None:
    """Python says which of the two it is, so that neither has to be guessed."""
    slot = datetime(2031, 10, 26, 2, 30, fold=fold, tzinfo=ZoneInfo("Europe/Berlin"))
    command = PlaceHold(slot=slot, patientName="Ada")
    assert command.slot == datetime(2031, 10, 26, hour, 30, tzinfo=UTC)


async def test_a_command_takes_no_options_beside_it() -> None:
    """An option that a command would not carry is refused, not left out in silence."""
    untyped: Any = BookingClient("nats://127.0.0.1:1")
    with pytest.raises(TypeError):
        await untyped.hold(PlaceHold(slot=NINE, patientName="Ada"), site="harbour")
    with pytest.raises(TypeError):
        await untyped.move(MoveAppointment(id=ID, slot=NINE), slot=NINE)
