"""A row of `appointments` that this service did not write affects only requests that meet it."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from shared.contract.commands import CancelAppointment
from shared.contract.errors import Changing, NoSuchAppointment, NotExecuted, SlotAlreadyBooked
from tests.integration.final_refusals import of, soon
from tests.integration.test_moves import booked, free
from tests.integration.use_cases import UseCases
from tests.slots import fresh

FOREIGN_SLOT = "1970-01-01T00:00:00.007Z"
WHOLE: dict[str, Any] = {
    "status": "booked",
    "resources": ["default"],
    "slot": datetime(1970, 1, 1, tzinfo=UTC),
    "durationMinutes": None,
    "slotMinutes": 0,
    "patientName": "Ada",
    "idempotencyKey": "key",
    "requestHash": "hash",
    "version": 1,
    "createdAt": datetime(1970, 1, 1, tzinfo=UTC),
    "updatedAt": datetime(1970, 1, 1, tzinfo=UTC),
}
"""The fields of a valid row; a test replaces one by a value of another type."""


@pytest.mark.parametrize(
    "foreign",
    [
        {"status": "booked"},
        {"status": "booked", "idempotencyKey": ["a", {"b": 1}], "resources": None},
        {"status": "booked", "idempotencyKey": {"a": 1}},
        {"status": "booked", "claims": "default/7", "idempotencyKey": 7},
        {**WHOLE, "patientName": ["Zebra-Canary"]},
        {**WHOLE, "createdAt": "2031-05-04"},
        {**WHOLE, "durationMinutes": "x"},
    ],
    ids=str,
)
async def test_foreign_row_does_not_affect_a_shared_read(
    use_cases: UseCases, foreign: dict[str, Any]
) -> None:
    """Requests that share a read with one that meets a foreign row get their own answers."""
    body, booking = await booked(use_cases)
    id = str(uuid4())
    row = {"_id": id, "site": body["site"], "claims": ["default/7", {"a": 1}], **foreign}
    await use_cases.database.get_collection("appointments").insert_one(row)
    asks = [
        use_cases.bookings.book(free(body), soon()),
        use_cases.bookings.book(free(body, slot=FOREIGN_SLOT), soon()),
        use_cases.bookings.cancel(CancelAppointment(id=id), soon()),
        use_cases.reads.get(id, soon()),
        use_cases.reads.get(booking.id, soon()),
    ]
    refused, *missing, found = await asyncio.gather(*asks, return_exceptions=True)
    assert isinstance(refused, SlotAlreadyBooked)
    assert isinstance(missing.pop(0), SlotAlreadyBooked)
    assert all(isinstance(answer, NoSuchAppointment) for answer in missing)
    assert found == booking


async def test_foreign_claim_is_taken(use_cases: UseCases) -> None:
    """A foreign row with status and claim takes the claim in the index, so the 409 is true."""
    body, booking = await booked(use_cases)
    appointments = use_cases.database.get_collection("appointments")
    await use_cases.bookings.cancel(CancelAppointment(id=booking.id), soon())
    row = {"_id": 7, "site": body["site"], "status": "booked", "claims": list(booking.claims.keys)}
    await appointments.insert_one(row)
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.bookings.book(free(body), soon())


@pytest.mark.parametrize("status", ["booked", "refused"])
async def test_foreign_row_with_a_key_affects_only_that_key(use_cases: UseCases, status: str) -> None:
    """A booking with the key of a foreign row is not executed; one with another key is made."""
    body = fresh()
    row = {"_id": str(uuid4()), "site": body["site"], "status": status, "idempotencyKey": "taken"}
    await use_cases.database.get_collection("appointments").insert_one(row)
    met, booked = await asyncio.gather(
        use_cases.bookings.book(of(body, "Ada", "taken"), soon()),
        use_cases.bookings.book(of({**body, "resources": ["b"]}, "Ada", "other"), soon()),
        return_exceptions=True,
    )
    assert isinstance(met, Changing | NotExecuted)
    assert not isinstance(booked, BaseException)
