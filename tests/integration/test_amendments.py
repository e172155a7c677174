"""An amendment corrects a name or notes an attendance; the booking stays where it is."""

import asyncio
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from shared.contract.commands import AmendAppointment, BookAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import Changing, NameErased, OutcomeUnknown
from shared.domain.booking import Booking
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites
from tests.callers import MOST_REPEATS, Caller, Kind
from tests.integration.event_log import data_of, event_log
from tests.integration.life import NO_SUCH, Life, is_cancelled
from tests.integration.operators import privacy
from tests.integration.use_cases import UseCases
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack


def soon() -> Deadline:
    return Deadline.after(5)


async def booked(caller: Caller, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = await caller.book(body, **headers)
    assert answer.status == 201, answer
    appointment: dict[str, Any] = answer.body["appointment"]
    return appointment


async def history(caller: Caller, id: str) -> list[tuple[int, str, str | None]]:
    answer = await caller.ask("history", {"id": id})
    return [(one["version"], one["type"], one.get("attendance")) for one in answer.body["history"]]


async def test_name_and_attendance_change_and_nothing_else(caller: Caller) -> None:
    """Each amendment adds one to the version and one entry to the history, which has no name."""
    appointment = await booked(caller, fresh("Ada Lovelase"))
    id = {"id": appointment["id"]}
    renamed = await caller.ask("amend", {**id, "patientName": " Ada  Lovelace "})
    expected = {**appointment, "patientName": "Ada Lovelace", "version": 2}
    assert (renamed.status, renamed.body) == (200, {"message": "Booking amended", "appointment": expected})
    assert renamed.headers["etag"] == '"2"'
    arrived = await caller.ask("amend", {**id, "attendance": "arrived"})
    expected |= {"attendance": "arrived", "version": 3}
    assert (arrived.status, arrived.body["appointment"]) == (200, expected)
    assert (await caller.get(appointment["id"])).body["appointment"] == expected
    window = {"site": appointment["site"], "from": "2031-05-04T00:00Z", "to": "2031-05-05T00:00Z"}
    assert (await caller.ask("list", window)).body["appointments"] == [expected]
    back = await caller.ask("amend", {**id, "attendance": "expected", "patientName": "Ada"})
    assert "attendance" not in back.body["appointment"]
    assert await history(caller, appointment["id"]) == [
        (1, "booked", None),
        (2, "renamed", None),
        (3, "attendance", "arrived"),
        (4, "renamed", "expected"),
    ]
    told = await caller.ask("history", id)
    assert "Ada" not in told.text


async def test_patient_of_a_moved_appointment_is_expected_again(caller: Caller) -> None:
    """A move to another slot ends the attendance; a move to another resource alone keeps it."""
    id = {"id": (await booked(caller, fresh()))["id"]}
    await caller.ask("amend", {**id, "attendance": "missed"})
    elsewhere = await caller.ask("move", {**id, "resources": ["dr-khan"]})
    assert elsewhere.body["appointment"]["attendance"] == "missed"
    later = await caller.ask("move", {**id, "slot": "2031-05-06T09:00Z"})
    assert "attendance" not in later.body["appointment"]
    assert "attendance" not in (await caller.get(id["id"])).body["appointment"]


async def test_amendment_to_what_is_there_changes_nothing(caller: Caller) -> None:
    """It is 200 with the same version, and adds nothing to the history."""
    appointment = await booked(caller, fresh("Ada"))
    for body in ({"attendance": "expected"}, {"patientName": "Ada"}):
        answer = await caller.ask("amend", {"id": appointment["id"].upper(), **body})
        assert (answer.status, answer.body["appointment"]) == (200, appointment)
    assert await history(caller, appointment["id"]) == [(1, "booked", None)]


async def test_booking_is_replayed_by_its_first_name_after_a_correction(caller: Caller) -> None:
    """A retry of the booking's request is 201 with the right name; with that name it is another request."""
    body, key = fresh("Ada Lovelase"), {"Idempotency-Key": "web-1"}
    appointment = await booked(caller, body, **key)
    amended = await caller.ask("amend", {"id": appointment["id"], "patientName": "Ada"})
    again = await caller.book(body, **key)
    assert (again.status, again.headers["idempotency-replayed"]) == (201, "true")
    assert again.body["appointment"] == amended.body["appointment"]
    assert (await caller.book({**body, "patientName": "Ada"}, **key)).status == 422


async def test_amendment_needs_its_version(http_caller: Caller) -> None:
    """With If-Match, another version is 412; a repeat of the change of that version is 200."""
    appointment = await booked(http_caller, fresh())
    arrived, missed = ({"id": appointment["id"], "attendance": each} for each in ("arrived", "missed"))
    assert (await http_caller.ask("amend", arrived, **{"If-Match": '"2"'})).status == 412
    first = await http_caller.ask("amend", arrived, **{"If-Match": '"1"'})
    again = await http_caller.ask("amend", arrived, **{"If-Match": '"1"'})
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    refused = await http_caller.ask("amend", missed, **{"If-Match": '"1"'})
    assert (refused.status, refused.headers["error-type"]) == (412, "PreconditionFailed")
    move = {"id": appointment["id"], "slot": "2031-05-04T11:00Z"}
    assert (await http_caller.ask("move", move)).status == 200
    assert (await http_caller.ask("amend", arrived, **{"If-Match": '"2"'})).status == 412
    assert (await http_caller.ask("amend", missed, **{"If-Match": "*"})).body["appointment"]["version"] == 4


async def test_cancelled_and_unknown_appointments_cannot_be_amended(caller: Caller) -> None:
    """A cancelled one is 409 with the appointment, an unknown id 404."""
    appointment = await booked(caller, fresh())
    cancelled = (await caller.ask("cancel", {"id": appointment["id"]})).body["appointment"]
    answer = await caller.ask("amend", {"id": appointment["id"], "attendance": "missed"})
    assert (answer.status, answer.body) == (409, is_cancelled(cancelled))
    for id in ("00000000-0000-4000-8000-000000000000", "4711"):
        answer = await caller.ask("amend", {"id": id, "attendance": "missed"})
        assert (answer.status, answer.body) == (404, NO_SUCH)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"attendance": "late"}, "attendance must be one of expected, arrived, missed"),
        ({"attendance": True}, "attendance must be one of expected, arrived, missed"),
        ({"patientName": "Zebra\n"}, None),
        ({"patientName": "Ze\nbra"}, "patientName must not contain control characters, line separators"),
        ({"patientName": "Ada", "colour": 1}, "Unknown field colour"),
        ({"attendance": "missed", "amendId": ""}, "amendId must be"),
    ],
)
async def test_wrong_amendment_is_refused(
    nats_caller: Caller, body: dict[str, Any], error: str | None
) -> None:
    """One sentence names the field, without its value."""
    appointment = await booked(nats_caller, fresh())
    answer = await nats_caller.ask("amend", {"id": appointment["id"], **body})
    assert answer.status == (200 if error is None else 400)
    assert answer.body.get("error", "").startswith(error or "")
    assert error is None or "bra" not in answer.text


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            {"patientName": "Ada", "slot": "2031-05-04T11:00Z"},
            "patientName and slot cannot change together: send two requests",
        ),
        (
            {"attendance": "missed", "holdToken": "x"},
            "attendance and holdToken cannot change together: send two requests",
        ),
        ({"patientName": None, "attendance": None}, "Nothing to change: send slot"),
        ({"attendance": "missed", "ifVersion": 1}, "Unknown field ifVersion"),
        ({"attendance": "missed", "amendId": "1"}, "Unknown field amendId"),
    ],
)
async def test_patch_is_a_move_or_an_amendment(
    http: httpx.AsyncClient, http_caller: Caller, body: dict[str, Any], error: str
) -> None:
    """A body with fields of both is 400, and names one of each."""
    id = (await booked(http_caller, fresh()))["id"]
    answer = await http.patch(f"/api/appointments/{id}", json=body)
    assert (answer.status_code, answer.json()["error"][: len(error)]) == (400, error)
    nulls = {"patientName": None, "slot": "2031-05-04T11:00Z"}
    moved = await http.patch(f"/api/appointments/{id}", json=nulls)
    assert (moved.status_code, moved.json()["message"]) == (200, "Booking moved")
    keyed = await http.patch(
        f"/api/appointments/{id}", json={"attendance": "missed"}, headers={"Idempotency-Key": "1"}
    )
    assert (keyed.status_code, keyed.json()) == (400, {"error": "Idempotency-Key is not accepted here"})


async def test_name_of_an_erased_booking_cannot_be_set(caller: Caller, stack: Stack) -> None:
    """It would give the name to everyone who knows the booking's key; the attendance can be noted."""
    id = (await booked(caller, fresh("Zebra")))["id"]
    await caller.ask("amend", {"id": id, "patientName": "Zebra Canary"})
    assert (await privacy(stack, "erase", "--id", id, "--yes")).code == 0
    answer = await caller.ask("amend", {"id": id, "patientName": "Zebra"})
    assert (answer.status, answer.headers["error-type"]) == (409, NameErased.__name__)
    assert "Zebra" not in answer.text
    missed = await caller.ask("amend", {"id": id, "attendance": "missed"})
    assert (missed.status, missed.body["appointment"]["version"]) == (200, 4)
    assert "patientName" not in missed.body["appointment"]


async def test_concurrent_amendments_and_moves_all_count(nats_connection: Client) -> None:
    """Each change is made once, its retries included: versions and history have all of them."""
    life = Life(nats_connection)
    id = (await life.booked(fresh("Ada")))["id"]

    async def until_done(kind: Kind, key: str, number: int, **what: str) -> None:
        """Send a change until its outcome is known: a busy machine answers 503 and 504 too."""
        for _ in range(MOST_REPEATS):
            answer = await life.ask(kind, {"id": id, key: f"{kind} {number}", **what})
            if answer.status < 500:
                break
        assert answer.status == 200

    amends = [until_done("amend", "amendId", number, patientName=f"Ada {number}") for number in range(8)]
    moves = [until_done("move", "moveId", hour, slot=f"2031-05-04T1{hour}:00Z") for hour in range(4)]
    await asyncio.gather(*amends, *moves, until_done("amend", "amendId", 8, attendance="missed"))
    types = [type for _, type, _ in await life.changes(id)]
    assert sorted(types) == ["attendance", "booked", *["moved"] * 4, *["renamed"] * 8]
    last, later = await life.found(id), types[types.index("attendance") :]
    assert (last["version"], last.get("attendance")) == (14, None if "moved" in later else "missed")


async def repeat_after_another(use_cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> Booking:
    """Note that a patient arrived, lose the answer, note `missed`, and send the first command again."""
    change = BookingWrites.change_many

    async def lose(*args: Any, **more: Any) -> list[WriteResult]:
        return [WriteResult.UNKNOWN for _ in await change(*args, **more)]

    booking = (await use_cases.bookings.book(BookAppointment.model_validate(fresh()), soon())).booking
    arrived = AmendAppointment(id=booking.id, attendance="arrived", amendId="one")
    with monkeypatch.context() as patch:
        patch.setattr(BookingWrites, "change_many", lose)
        with pytest.raises(OutcomeUnknown):
            await use_cases.bookings.amend(arrived, soon())
    await use_cases.bookings.amend(AmendAppointment(id=booking.id, attendance="missed"), soon())
    return await use_cases.bookings.amend(arrived, soon())


async def test_retry_of_a_lost_amendment_does_not_undo_a_later_one(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retry finds its own change in the history, and gets the booking as it stands now."""
    booking = await repeat_after_another(use_cases, monkeypatch)
    assert (booking.attendance, booking.version) == ("missed", 3)


async def test_retry_undoes_a_later_amendment_without_its_mark(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: if no amendment is recognised, the retry is executed again."""
    monkeypatch.setattr(Booking, "has_amendment", lambda *_: False)
    booking = await repeat_after_another(use_cases, monkeypatch)
    assert (booking.attendance, booking.version) == ("arrived", 4)


async def test_amendment_that_others_change_in_every_round_is_not_executed(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unmatched compare-and-set is judged again, and is 503 Changing after the last round."""

    async def be_unsure(_store: BookingWrites, changes: list[Any], **_: Any) -> list[WriteResult]:
        return [WriteResult.UNSURE] * len(changes)

    booking = (await use_cases.bookings.book(BookAppointment.model_validate(fresh()), soon())).booking
    monkeypatch.setattr(BookingWrites, "change_many", be_unsure)
    with pytest.raises(Changing):
        await use_cases.bookings.amend(AmendAppointment(id=booking.id, attendance="missed"), soon())


async def test_amendments_are_events_without_the_name(servers: Servers) -> None:
    """A correction is `renamed`, an attendance `attendance` with its value, at the booking's place."""
    async with event_log(servers) as log:
        log.start_relay()
        appointment = await log.life.booked(fresh("Zebra"))
        id = appointment["id"]
        for body in ({"patientName": "Zebra Canary"}, {"attendance": "arrived"}):
            assert (await log.life.request("booking.v1.amend", {"id": id, **body})).status == 200
        events = await log.until([f"{id}:3"])
    assert [event.subject.rpartition(".")[2] for event in events] == ["booked", "renamed", "attendance"]
    place = {name: appointment[name] for name in ("id", "site", "resources", "slot", "durationMinutes")}
    assert data_of(events[1]) == {**place, "version": 2}
    assert data_of(events[2]) == {**place, "version": 3, "attendance": "arrived"}
    assert "Zebra" not in str([(event.headers, event.data) for event in events])
