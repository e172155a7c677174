"""Tombstones: when a refusal writes one, and what its row does to other commands."""

from collections.abc import Awaitable
from typing import Any

import pytest
from nats.aio.client import Client
from pymongo import MongoClient

from shared.contract.commands import CancelAppointment, MoveAppointment
from shared.contract.errors import NoSuchAppointment, OutcomeUnknown, SlotAlreadyBooked
from shared.domain.booking import Booking
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.schema import Schema
from shared.stores.mongo.writes import BookingWrites
from tests.integration.final_refusals import (
    KEY,
    TEN,
    a_second_ago,
    of,
    refused_after_a_lost_attempt,
    rows,
    soon,
)
from tests.integration.life import BOOKED, Life, all_at_once
from tests.integration.use_cases import UseCases
from tests.slots import fresh
from tests.stack import Stack


async def test_first_attempt_writes_no_tombstone(use_cases: UseCases) -> None:
    """A refusal writes no tombstone for a certain first attempt, or for a command without a key."""
    body = fresh()
    await use_cases.bookings.book(of(body, "Grace"), soon())
    for command, first in ((of(body, "Ada", KEY), True), (of(body, "Ada"), False)):
        with pytest.raises(SlotAlreadyBooked):
            await use_cases.bookings.book(command, soon(), is_first_attempt=first)
    assert await rows(use_cases, body["site"]) == [("Grace", "booked")]


@pytest.mark.parametrize("loss", [WriteResult.UNKNOWN, WriteResult.NO_PRIMARY, WriteResult.NOT_EXECUTED])
async def test_refusal_without_its_tombstone_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, loss: WriteResult
) -> None:
    """If the tombstone cannot be written, the outcome is unknown: a 409 would not be final."""

    async def fail(_store: BookingWrites, keys: list[Any], **_: Any) -> list[WriteResult]:
        return [loss] * len(keys)

    body = fresh()
    await use_cases.bookings.book(of(body, "Grace"), soon())
    monkeypatch.setattr(BookingWrites, "reserve_keys", fail)
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.book(of(body, "Ada", KEY), soon())


async def test_tombstone_is_no_appointment(use_cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tombstone cannot be read, cancelled or moved, and takes no claim."""
    body = fresh()
    await refused_after_a_lost_attempt(use_cases, monkeypatch, body)
    row = await use_cases.database.get_collection("appointments").find_one({"status": "refused"})
    assert row is not None
    assert set(row) == {
        "_id",
        "site",
        "idempotencyKey",
        "status",
        "claims",
        "version",
        "askedAt",
        "refusedAt",
    }
    asks: list[Awaitable[Booking]] = [
        use_cases.reads.get(row["_id"], soon()),
        use_cases.bookings.cancel(CancelAppointment(id=row["_id"]), soon()),
        use_cases.bookings.move(MoveAppointment.model_validate({"id": row["_id"], "slot": TEN}), soon()),
    ]
    for ask in asks:
        with pytest.raises(NoSuchAppointment):
            await ask
    await use_cases.bookings.book(of(body, "Alan"), soon())


async def test_tombstones_expire(use_cases: UseCases) -> None:
    """A TTL index deletes only tombstones, after the last possible attempt; a start recreates the index."""
    appointments = use_cases.database.get_collection("appointments")
    for _ in range(2):
        index = (await appointments.index_information())["refused_rows_expire"]
        assert index["key"] == [("refusedAt", 1)]
        assert index["expireAfterSeconds"] == 66
        assert index["partialFilterExpression"] == {"status": "refused"}
        await appointments.drop_index("refused_rows_expire")
        await use_cases.schema._check()
        assert use_cases.schema.verified  # no booking depends on this index
        await Schema(use_cases.database, slot_minutes=0).wait_until_verified()


@pytest.mark.parametrize("many", [False, True], ids=["single", "many"])
async def test_retries_of_a_refused_command_book_once(
    nats_connection: Client, stack: Stack, many: bool
) -> None:
    """Once the slot is free, 30 simultaneous retries of a refused command return one booking.

    A retry that is refused at once with others may find the tombstone of another retry.
    """
    life, body = Life(nats_connection), fresh("Ada", idempotencyKey=KEY)
    grace = await life.booked({**body, "patientName": "Grace", "idempotencyKey": None})
    asked = a_second_ago()
    answers = await all_at_once(nats_connection, "booking.v1.book", [body] * 30, many=many, asked_at=asked)
    assert {answer.headers["error-type"] for answer in answers} <= {"SlotAlreadyBooked", "AskedEarlier"}
    assert BOOKED in [answer.body for answer in answers]
    await life.cancel(grace["id"])
    answers = await all_at_once(nats_connection, "booking.v1.book", [body] * 30, many=many)
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body["appointment"]["id"] for answer in answers}) == 1
    with MongoClient[dict[str, Any]](stack.env["MONGO_URI"]) as client:
        found = client.get_default_database()["appointments"].find({"site": body["site"]})
        assert sorted(row["status"] for row in found) == ["booked", "cancelled"]
