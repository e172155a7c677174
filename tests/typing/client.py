"""Every call of the client has the type of its answer, and mypy refuses invalid arguments."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Literal, assert_type

from shared import (
    Appointment,
    BookAppointment,
    Booked,
    BookingClient,
    Change,
    GridFound,
    Hold,
    MoveAppointment,
    PlaceHold,
    ReleaseHold,
    TakenSlot,
)

NINE = datetime(2031, 5, 4, 9, tzinfo=UTC)


async def answers(client: BookingClient) -> None:
    assert_type(await client.book("2031-05-04T09:00Z", "Ada"), Booked)
    assert_type(
        await client.book(NINE, "Ada", contact="+49", resources=["d"], idempotency_key="web-1"), Booked
    )
    assert_type(await client.book(BookAppointment(slot=NINE, patientName="Ada")), Booked)
    assert_type(await client.book(NINE, "Ada", resources=["dr-lee"], service="check-up"), Booked)
    assert_type(await client.hold(NINE, "Ada", duration_minutes=30, site="harbour"), Hold)
    assert_type(await client.hold(PlaceHold(slot=NINE, patientName="Ada", holdToken="…")), Hold)
    assert_type(await client.move("id", slot=NINE, resources=("dr-lee", "room-2")), Appointment)
    assert_type(await client.move(MoveAppointment(id="id", durationMinutes=30)), Appointment)
    assert_type(await client.amend("id", attendance="arrived"), Appointment)
    assert_type(await client.cancel("id"), Appointment)
    assert_type(await client.appointment("id"), Appointment)
    assert_type(await client.history("id"), list[Change])
    assert_type(client.appointments(NINE, "2031-05-05T09:00Z", resource="dr-lee"), AsyncIterator[Appointment])
    assert_type(client.slots(NINE, "2031-05-05T09:00Z"), AsyncIterator[TakenSlot])
    assert_type(await client.grid(), GridFound)
    await client.release("token", slot=NINE, site="harbour")
    await client.release(ReleaseHold(holdToken="token"))
    async with client as entered:
        assert_type(entered, BookingClient)


async def fields(booked: Booked, change: Change, taken: TakenSlot, hold: Hold) -> None:
    appointment: Appointment = booked
    assert_type(booked.replayed, bool)
    assert_type(appointment.slot, datetime)
    assert_type(appointment.resources, tuple[str, ...])
    assert_type(appointment.durationMinutes, int | None)
    assert_type(appointment.service, str | None)
    assert_type(appointment.status, Literal["booked", "cancelled"])
    assert_type(change.type, Literal["booked", "moved", "cancelled", "erased", "renamed", "attendance"])
    assert_type(taken.state, Literal["booked", "held"])
    assert_type(hold.expiresAt, datetime)


# mypy refuses all of these calls; if it accepted one, it would report an unused `ignore`.
async def refusals(client: BookingClient, hold: Hold) -> None:
    await client.book(NINE)  # type: ignore[call-overload]
    await client.book(NINE, "Ada", resource="dr-lee")  # type: ignore[call-overload]
    await client.book(NINE, "Ada", resources="dr-lee")  # type: ignore[call-overload]
    await client.book(PlaceHold(slot=NINE, patientName="Ada"))  # type: ignore[call-overload]
    await client.book(BookAppointment(slot=NINE, patientName="Ada"), site="harbour")  # type: ignore[call-overload]
    await client.hold(NINE, "Ada", idempotency_key="web-1")  # type: ignore[call-overload]
    await client.release(NINE, "token")  # type: ignore[call-overload]
    await client.release(hold)  # type: ignore[call-overload]
    await client.move("id", NINE)  # type: ignore[call-overload]
    await client.cancel(NINE)  # type: ignore[arg-type]
    await client.appointments(NINE, NINE)  # type: ignore[misc]
