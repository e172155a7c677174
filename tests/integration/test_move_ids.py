"""Moves with an idempotency key (`moveId`, over HTTP `Idempotency-Key`): a retry moves nothing."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient
from nats.aio.client import Client

from shared.contract.commands import MoveAppointment, PlaceHold
from shared.contract.errors import KeyReused, SlotHeld
from shared.stores.redis.intents import IntentStore
from tests.integration.life import Life, is_cancelled
from tests.integration.test_moves import ELEVEN, NINE, TEN, booked, free, soon
from tests.integration.use_cases import UseCases
from tests.slots import fresh

REUSED = {"error": "Idempotency-Key was used for a different request"}


@pytest.fixture
def life(nats_connection: Client) -> Life:
    return Life(nats_connection)


async def test_a_retry_of_a_move_that_changed_nothing_moves_nothing(life: Life) -> None:
    """A move to the booking's own slot is remembered: a retry after a later move does not move it back."""
    appointment = await life.booked(fresh())
    stay = {"slot": NINE, "moveId": "desk 4711"}
    answer = await life.move(appointment["id"], **stay)
    assert (answer.status, answer.body["appointment"]) == (200, appointment)
    assert (await life.move(appointment["id"], slot=TEN)).status == 200
    answer = await life.move(appointment["id"], **stay)
    assert (answer.status, answer.body["message"]) == (200, "Booking moved")
    assert answer.body["appointment"]["slot"] == TEN
    assert [type for _, type, _ in await life.changes(appointment["id"])] == ["booked", "moved"]


async def test_a_move_id_is_remembered_after_its_history_entry_is_gone(use_cases: UseCases) -> None:
    """After 120 more changes, when the history has dropped the move's entry, a retry still moves nothing."""
    _, booking = await booked(use_cases)
    first = MoveAppointment(id=booking.id, slot=TEN, moveId="the first")
    await use_cases.bookings.move(first, soon())
    for minute in range(120):
        if minute % 10 == 0:
            await use_cases.schema.wait_until_verified()  # as a worker does every second
        slot = f"2031-05-05T1{minute // 60}:{minute % 60:02}:00Z"
        await use_cases.bookings.move(
            MoveAppointment.model_validate({"id": booking.id, "slot": slot}), soon()
        )
    assert (await use_cases.bookings.move(first, soon())).version == 122


async def test_a_move_id_for_another_target_gets_422(life: Life) -> None:
    """A move id with another slot, duration or resources gets 422; only the hold token may differ."""
    appointment, other = await life.booked(fresh()), await life.booked(fresh())
    key = {"moveId": "desk 4711"}
    assert (await life.move(appointment["id"], slot=TEN, **key)).status == 200
    for where in ({"slot": ELEVEN}, {"slot": TEN, "resources": ["default"]}, {"resources": ["a"]}):
        answer = await life.move(appointment["id"], **where, **key)
        assert (answer.status, answer.body) == (422, REUSED)
    again = {"slot": "2031-05-04T12:00:00+02:00", "holdToken": str(uuid4())}
    assert (await life.move(appointment["id"], **again, **key)).status == 200
    assert (await life.found(appointment["id"]))["version"] == 2
    assert (
        await life.move(other["id"], slot=ELEVEN, **key)
    ).status == 200  # ids are scoped to the appointment


async def test_a_move_id_is_looked_up_before_version_and_asked_at(life: Life) -> None:
    """A retry of a move that was carried out gets 200, neither 412 nor AskedEarlier."""
    appointment = await life.booked(fresh())
    move = {"slot": TEN, "moveId": "desk 4711", "ifVersion": 1}
    assert (await life.move(appointment["id"], **move)).body["appointment"]["version"] == 2
    assert (await life.move(appointment["id"], slot=ELEVEN)).body["appointment"]["version"] == 3
    body = {"id": appointment["id"], **move}
    answer = await life.request("booking.v1.move", body, {"Asked-At": "1000"})
    assert (answer.status, answer.body["appointment"]["version"]) == (200, 3)


@pytest.mark.parametrize("key", ["", "x" * 256, "na\u00efve", 7])
async def test_an_invalid_move_id_is_refused(life: Life, key: Any) -> None:
    """A move id is 1 to 255 printable ASCII characters; the error names the field."""
    answer = await life.move(str(uuid4()), slot=TEN, moveId=key)
    assert answer.status == 400
    assert "moveId" in answer.error


async def test_over_http_the_move_id_is_the_idempotency_key_header(http: AsyncClient, life: Life) -> None:
    """The retry of a PATCH with a key moves nothing; the same key with another body gets 422."""
    appointment = await life.booked(fresh())
    url, key = f"/api/appointments/{appointment['id']}", {"Idempotency-Key": "desk 4711"}
    first = await http.patch(url, json={"slot": TEN}, headers=key)
    await http.patch(url, json={"slot": ELEVEN})
    again = await http.patch(url, json={"slot": TEN}, headers=key)
    assert (first.status_code, again.status_code) == (200, 200)
    assert (first.headers["etag"], again.headers["etag"]) == ('"2"', '"3"')
    other = await http.patch(url, json={"slot": NINE}, headers=key)
    assert (other.status_code, other.json()) == (422, REUSED)
    twice = await http.patch(url, json={"slot": NINE}, headers=[("Idempotency-Key", "a")] * 2)
    assert twice.status_code == 400
    cancelled = (await http.delete(url)).json()["appointment"]
    for headers in (key, {}):
        refused = await http.patch(url, json={"slot": TEN}, headers=headers)
        assert (refused.status_code, refused.json()) == (409, is_cancelled(cancelled))
        assert refused.headers["error-type"] == "AppointmentCancelled"


@pytest.mark.parametrize("body", [{}, {"holdToken": str(uuid4())}, {"slot": None}])
async def test_a_move_without_a_target_is_refused(
    http: AsyncClient, life: Life, body: dict[str, Any]
) -> None:
    """A move without slot, resources, duration and service gets 400, and the error names these fields."""
    appointment = await life.booked(fresh())
    answer = await http.patch(f"/api/appointments/{appointment['id']}", json=body)
    assert answer.status_code == 400
    assert answer.json() == {"error": "Nothing to change: send slot, resources, durationMinutes or service"}
    assert (await life.move(appointment["id"], **body)).body == answer.json()


async def test_a_retry_of_a_move_uses_up_the_hold_of_its_patient(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry removes the patient's hold, which a worker that dies after the update leaves behind."""
    body, booking = await booked(use_cases, patient="Ada")
    hold = PlaceHold.model_validate({**body, "slot": TEN})
    await use_cases.holds.place_hold(hold, soon())
    move = MoveAppointment(id=booking.id, slot=TEN, moveId="desk 4711")

    async def die(*_: Any) -> list[int]:
        """The worker dies before it removes any hold."""
        return [0]

    with monkeypatch.context() as patch:
        patch.setattr(IntentStore, "use_up_holds", die)
        await use_cases.bookings.move(move, soon())
        await use_cases.clearer.drain()
    assert (await use_cases.bookings.move(move, soon())).version == 2
    await use_cases.clearer.drain()
    await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=ELEVEN), soon())
    assert await use_cases.bookings.book(free(body, slot=TEN), soon())


async def test_control_without_a_retry_the_hold_remains(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: without a retry of the move, the hold that the worker left refuses other patients."""
    body, booking = await booked(use_cases, patient="Ada")
    await use_cases.holds.place_hold(PlaceHold.model_validate({**body, "slot": TEN}), soon())

    async def die(*_: Any) -> list[int]:
        """The worker dies before it removes any hold."""
        return [0]

    with monkeypatch.context() as patch:
        patch.setattr(IntentStore, "use_up_holds", die)
        await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=TEN, moveId="desk"), soon())
        await use_cases.clearer.drain()
    await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=ELEVEN), soon())
    with pytest.raises(SlotHeld):
        await use_cases.bookings.book(free(body, slot=TEN), soon())


async def test_racing_moves_with_one_id_are_carried_out_once(use_cases: UseCases) -> None:
    """Racing moves with one id are carried out once; another target with that id gets 422."""
    _, booking = await booked(use_cases)
    moves = [MoveAppointment(id=booking.id, slot=slot, moveId="desk") for slot in (TEN, TEN, TEN, ELEVEN)]
    answers = await asyncio.gather(
        *(use_cases.bookings.move(move, soon(), asked_at=1_000_000 + n) for n, move in enumerate(moves)),
        return_exceptions=True,
    )
    assert [getattr(answer, "version", None) for answer in answers[:3]] == [2, 2, 2]
    assert isinstance(answers[3], KeyReused)
