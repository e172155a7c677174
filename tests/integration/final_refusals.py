"""Helpers that lose the write of an attempt, and carry it out late, as MongoDB may."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import BookAppointment, CancelAppointment, PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import OutcomeUnknown, SlotAlreadyBooked
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites
from tests.integration.use_cases import UseCases

TEN = "2031-05-04T10:00:00.000Z"
KEY = "order 4711"
Late = Callable[[], Awaitable[list[WriteResult]]]


def soon() -> Deadline:
    return Deadline.after(5)


async def lose(
    monkeypatch: pytest.MonkeyPatch, store: type, write: str, attempt: Callable[[], Awaitable[Any]]
) -> Late:
    """Run an attempt whose write is lost: the outcome is unknown. Return a function that writes it late."""
    send, sent = getattr(store, write), list[tuple[Any, Any]]()

    async def keep(self: Any, batch: Any, **_: Any) -> list[WriteResult]:
        sent.append((self, batch))
        return [WriteResult.UNKNOWN] * len(batch)

    with monkeypatch.context() as patch:
        patch.setattr(store, write, keep)
        with pytest.raises(OutcomeUnknown):
            await attempt()
    (self, batch), *_ = sent

    async def carry_out() -> list[WriteResult]:
        written: list[WriteResult] = await send(self, batch, timeout=5)
        return written

    return carry_out


def a_second_ago() -> int:
    """Return an `askedAt` that is earlier than any later request's, beyond the clock skew."""
    return unix_ms_now() - 1000


async def rows(use_cases: UseCases, site: str) -> list[tuple[str, str]]:
    """Read the names and statuses of a site's rows."""
    found = await use_cases.database.get_collection("appointments").find({"site": site}).to_list(None)
    return sorted((row.get("patientName", ""), row["status"]) for row in found)


def of(body: dict[str, Any], patient: str, key: str | None = None) -> BookAppointment:
    return BookAppointment.model_validate({**body, "patientName": patient, "idempotencyKey": key})


async def refused_after_a_lost_attempt(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any]
) -> Late:
    """Lose Ada's first attempt, get a 409 for her retry, and cancel Grace's booking, which caused it."""
    ada, asked = of(body, "Ada", KEY), a_second_ago()
    late = await lose(
        monkeypatch,
        BookingWrites,
        "insert_many",
        lambda: use_cases.bookings.book(ada, soon(), is_first_attempt=True, asked_at=asked),
    )
    grace = await use_cases.bookings.book(of(body, "Grace"), soon())
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.bookings.book(ada, soon(), asked_at=asked)
    await use_cases.bookings.cancel(CancelAppointment(id=grace.booking.id), soon())
    return late


async def grant(use_cases: UseCases, hold: PlaceHold) -> None:
    """Place a hold."""
    await use_cases.holds.place_hold(hold, soon())
