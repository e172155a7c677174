"""The cut-off of a schedule: after it, a patient's link neither cancels nor moves a booking."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from booking_worker.bookings.cancel import Canceller, CancelRequest
from shared.contract.caller import PATIENT_ID, Caller
from shared.contract.commands import BookAppointment, CancelAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import TooLateToChange
from shared.domain.schedule.site import SiteSchedules
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites, CompareAndSet
from tests.callers import Answer
from tests.integration.life import Life
from tests.integration.use_cases import UseCases
from tests.servers import Servers
from tests.slots import fresh, fresh_site

PATIENT = {"Caller": json.dumps({"id": PATIENT_ID, "names": True})}
TOO_LATE = {"error": "Too late to change this appointment online"}
IN_FORCE_SECONDS = 2.0
MOVED = "2031-05-04T15:00:00Z"


def slot_in(minutes: float) -> str:
    """Return the instant so many minutes from now."""
    return (datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=minutes)).isoformat()


async def store(life: Life, site: str, resource: str, cut_off: int) -> None:
    """Store a schedule with a cut-off that refuses no booking, and wait until it is in force."""
    weekly = [{"days": ["mon"], "from": "09:00", "to": "12:00"}]
    schedule = {"title": "A", "timeZone": "UTC", "weekly": weekly, "cutOffMinutes": cut_off}
    stored = await life.request("schedule.v1.put", {"site": site, "resource": resource, **schedule})
    assert (stored.status, stored.body["schedule"]["cutOffMinutes"]) == (200, cut_off)
    await asyncio.sleep(IN_FORCE_SECONDS)  # the promise of the service


@pytest.fixture
def life(nats_connection: Client) -> Life:
    return Life(nats_connection)


async def cancel(life: Life, id: str, headers: dict[str, str] = PATIENT) -> Answer:
    return await life.request("booking.v1.cancel", {"id": id}, headers)


async def move(life: Life, id: str, headers: dict[str, str] = PATIENT, **more: Any) -> Answer:
    return await life.request("booking.v1.move", {"id": id, "slot": MOVED, **more}, headers)


async def test_patient_changes_a_booking_until_the_earliest_cut_off(life: Life) -> None:
    """After it, a cancel and a move are 409 and change nothing; before it, and for others, they are done."""
    site = fresh_site()
    await store(life, site, "room", 30)
    await store(life, site, "lee", 90)
    body: dict[str, Any] = {"site": site, "resources": ["lee", "room"]}
    soon = await life.booked(fresh(**body | {"slot": slot_in(60)}))
    for answer in (await cancel(life, soon["id"]), await move(life, soon["id"])):
        assert (answer.status, answer.body) == (409, TOO_LATE)
        assert answer.headers["error-type"] == TooLateToChange.__name__
    assert await life.found(soon["id"]) == soon
    room = await life.booked(fresh(site=site, resources=["room"], slot=slot_in(45)))
    assert (await move(life, room["id"])).status == 200
    later = await life.booked(fresh(**body | {"slot": slot_in(120)}))
    assert (await cancel(life, later["id"])).status == 200
    assert (await move(life, soon["id"], {}, slot="2031-05-04T16:00Z")).status == 200
    assert (await cancel(life, soon["id"])).status == 200


async def test_change_counts_as_of_when_the_patient_asked(life: Life) -> None:
    """A retry of what was asked in time is done after the cut-off too."""
    await store(life, site := fresh_site(), "lee", 60)
    booking = await life.booked(fresh(site=site, resources=["lee"], slot=slot_in(59)))
    asked = int((datetime.now(UTC) - timedelta(minutes=2)).timestamp() * 1000)
    assert (await move(life, booking["id"])).status == 409
    assert (await cancel(life, booking["id"], {**PATIENT, "Asked-At": str(asked)})).status == 200


async def test_repeat_of_a_change_that_was_done_is_200_after_the_cut_off(life: Life) -> None:
    """The move's own id, the place where the booking is, and a cancelled booking come before the cut-off."""
    site, slot = fresh_site(), slot_in(60)
    body: dict[str, Any] = {"site": site, "resources": ["lee"]}
    moved, gone = await life.booked(fresh(**body)), await life.booked(fresh(**body, slot=slot_in(90)))
    first = await move(life, moved["id"], moveId="one", slot=slot)
    assert (await cancel(life, gone["id"])).status == first.status == 200
    await store(life, site, "lee", 240)
    again = await move(life, moved["id"], moveId="one", slot=slot)
    assert (again.status, again.body) == (200, first.body)
    assert (await move(life, moved["id"], slot=slot)).status == 200
    assert (await cancel(life, gone["id"])).status == 200
    assert (await move(life, moved["id"], moveId="two")).status == 409


async def late_cancel(servers: Servers, without: str) -> int:
    """Let a patient cancel after the cut-off, with a worker without a safeguard; return the status."""
    with servers.new_stack() as stack:
        stack.start("booking_worker", without=without)
        stack.wait_serving()
        connection = await nats.connect(stack.env["NATS_URL"])
        try:
            life, site = Life(connection), fresh_site()
            await store(life, site, "lee", 90)
            booking = await life.booked(fresh(site=site, resources=["lee"], slot=slot_in(60)))
            return (await cancel(life, booking["id"])).status
        finally:
            await connection.close()


async def test_late_cancel_is_done_by_a_worker_without_cut_offs(servers: Servers) -> None:
    """Control: a worker that does not judge cut-offs cancels."""
    assert await late_cancel(servers, "no_cut_off") == 200


async def refuse_after_a_lost_write(use_cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> WriteResult:
    """Keep back a patient's cancel, refuse its retry as too late, then let the write through.

    Returns:
        The result of the write that was kept back.
    """
    booking = (
        await use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(5))
    ).booking
    change = BookingWrites.change_many
    kept: list[tuple[BookingWrites, list[CompareAndSet]]] = []

    async def keep(store: BookingWrites, changes: list[CompareAndSet], **_: Any) -> list[WriteResult]:
        kept.append((store, changes))
        return [WriteResult.NOT_EXECUTED] * len(changes)

    command, patient = CancelAppointment(id=booking.id), Caller(id=PATIENT_ID, names=True)
    with monkeypatch.context() as patch:
        patch.setattr(BookingWrites, "change_many", keep)
        with pytest.raises(Exception, match="Nothing was done"):
            await use_cases.bookings.cancel(command, Deadline.after(5), caller=patient)
    monkeypatch.setattr(SiteSchedules, "is_too_late", lambda *_: True)
    with pytest.raises(TooLateToChange):
        await use_cases.bookings.cancel(command, Deadline.after(5), caller=patient)
    [(store, changes)] = kept
    [result] = await change(store, changes, timeout=5)
    return result


async def test_late_cancel_is_refused_for_good(use_cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the 409, the write of an earlier attempt changes nothing."""
    assert await refuse_after_a_lost_write(use_cases, monkeypatch) is WriteResult.UNSURE


async def test_late_cancel_takes_effect_after_its_refusal_without_the_epoch(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: if the booking does not enter a new epoch, the write of the earlier attempt is carried out."""

    async def refuse(_: Canceller, cancels: list[CancelRequest], *__: Any) -> dict[CancelRequest, Any]:
        is_late = SiteSchedules().is_too_late((), datetime.now(UTC), 0)
        return dict.fromkeys(cancels, TooLateToChange()) if is_late else {}

    monkeypatch.setattr(Canceller, "_too_late", refuse)
    assert await refuse_after_a_lost_write(use_cases, monkeypatch) is WriteResult.DONE
