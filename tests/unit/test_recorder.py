"""The recorder of the fault runs notes every answer that does not fit its request."""

from dataclasses import replace
from typing import Any

import pytest

from tests.callers import Answer
from tests.proof.checker.builders import RESOURCES, SITE, SLOT, booked, cancelled, held, moved, read
from tests.proof.faults.history import Operation
from tests.proof.faults.places import BookingState, Place, cells
from tests.proof.faults.recorder import Recorder

WHERE: dict[str, Any] = {"site": SITE, "resources": [*RESOURCES], "slot": SLOT}
APPOINTMENT = {**WHERE, "id": "ada", "patientName": "Ada", "status": "booked"}
HOLD = {**WHERE, "token": "token-Ada", "expiresAt": "2031-05-04T08:00:00.000Z"}
ASKED = {
    "book": booked("Ada", 0, 1),
    "get": replace(read("ada", 0, 1), patient="Ada"),
    "cancel": replace(cancelled("Ada", 0, 1), patient="Ada"),
    "move": replace(moved("Ada", "b", 0, 1), patient="Ada"),
    "hold": held("Ada", 0, 1, 9),
}


async def note(asked: Operation, answer: Answer) -> list[str]:
    """Return the oddities of one request."""

    async def send() -> Answer:
        return answer

    recorder = Recorder()
    await recorder.record(asked, send)
    return recorder.oddities


def answer(kind: str, **changed: str) -> Answer:
    """Return the right answer with some fields changed."""
    content: dict[str, Any] = HOLD if kind == "hold" else APPOINTMENT
    content = {**content, "status": "cancelled"} if kind == "cancel" else content
    part = "hold" if kind == "hold" else "appointment"
    return Answer(201 if kind == "book" else 200, {part: {**content, **changed}})


@pytest.mark.parametrize("kind", ASKED)
async def test_right_answer_is_no_oddity(kind: str) -> None:
    """An answer about the requested booking or hold is not noted."""
    assert await note(ASKED[kind], answer(kind)) == []


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        *(("book", field) for field in ("site", "resources", "slot", "patientName", "status")),
        *(("get", field) for field in ("id", "site", "patientName")),
        *(("cancel", field) for field in ("id", "site", "patientName", "status")),
        *(("move", field) for field in ("id", "site", "patientName")),
        *(("hold", field) for field in ("token", "site", "resources", "slot")),
    ],
)
async def test_answer_about_another_booking_is_an_oddity(kind: str, field: str) -> None:
    """A 2xx with another slot, patient, token or booking than requested breaks the contract."""
    [oddity] = await note(ASKED[kind], answer(kind, **{field: "another"}))
    assert f"tells of another {field}" in oddity


async def test_place_and_status_are_left_to_the_checker() -> None:
    """The recorder stores a booking's place and status, and the checker judges them."""

    async def send() -> Answer:
        return answer("get", slot="2031-05-04T09:15:00.000Z", status="cancelled")

    told = (await Recorder().record(ASKED["get"], send)).told
    assert told == BookingState(Place(SITE, RESOURCES, "2031-05-04T09:15:00.000Z"), "cancelled")


async def test_lists_and_histories_are_recorded() -> None:
    """Histories, lists and taken slots are stored for the checker; an incomplete list is an oddity."""
    entry = {**WHERE, "version": 1, "type": "booked", "at": SLOT}
    lasting = {"slot": SLOT, "durationMinutes": 30, "state": "held"}
    recorder = Recorder()

    async def ask(kind: Any, **body: Any) -> Operation:
        async def send() -> Answer:
            return Answer(200, body)

        return await recorder.record(replace(ASKED["get"], kind=kind), send)

    [change] = (await ask("history", history=[entry])).changes or ()
    assert (change.type, change.version, change.place) == ("booked", 1, Place(SITE, RESOURCES, SLOT))
    assert [id for id, _ in (await ask("list", appointments=[APPOINTMENT])).listed] == ["ada"]
    assert (await ask("slots", taken=[lasting])).taken == tuple((cell, "held") for cell in cells(SLOT, 30))
    assert recorder.oddities == []
    await ask("list", appointments=[], next="more")
    assert len(recorder.oddities) == 1


async def test_5xx_without_retry_after_is_an_oddity() -> None:
    """A 503 or 504 without `Retry-After`, or with another status's outcome, breaks the contract."""
    body = {"error": "?", "outcome": "unknown"}
    assert len(await note(ASKED["book"], Answer(503, body))) == 2
    assert await note(ASKED["book"], Answer(504, body, {"retry-after": "1"})) == []


async def test_unexpected_status_is_an_oddity() -> None:
    """A status that no caller of a run can cause breaks the contract."""
    assert len(await note(ASKED["hold"], Answer(500, {"error": "?", "outcome": "unknown"}))) == 2
