"""A 409 is final: an earlier attempt that arrives late neither books nor moves.

The test carries out the write of an earlier attempt late, as MongoDB may.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client
from pymongo import MongoClient

from booking_worker.bookings.key_finality import Refusals
from booking_worker.bookings.move_finality import Fences
from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import BookAppointment, CancelAppointment, MoveAppointment, PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    AskedEarlier,
    NoSuchAppointment,
    OutcomeUnknown,
    SlotAlreadyBooked,
    SlotHeld,
)
from shared.domain.booking import Booking
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.changes import Change, ChangeStore
from shared.stores.mongo.schema import Schema
from shared.stores.mongo.writes import WriteResult
from tests.integration.life import BOOKED, Life, all_at_once
from tests.integration.use_cases import UseCases
from tests.slots import fresh
from tests.stack import Stack

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

    async def keep(self: Any, what: Any, **_: Any) -> list[WriteResult]:
        sent.append((self, what))
        return [WriteResult.UNKNOWN] * len(what)

    with monkeypatch.context() as patch:
        patch.setattr(store, write, keep)
        with pytest.raises(OutcomeUnknown):
            await attempt()
    (self, what), *_ = sent

    async def carry_out() -> list[WriteResult]:
        written: list[WriteResult] = await send(self, what, timeout=5)
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
        BookingStore,
        "insert_many",
        lambda: use_cases.bookings.book(ada, soon(), is_first_attempt=True, asked_at=asked),
    )
    grace = await use_cases.bookings.book(of(body, "Grace"), soon())
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.bookings.book(ada, soon(), asked_at=asked)
    await use_cases.bookings.cancel(CancelAppointment(id=grace.booking.id), soon())
    return late


async def test_insert_that_lands_after_the_409_fails(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late insert of a refused booking's first attempt fails on the tombstone, though its slot is free."""
    body = fresh()
    late = await refused_after_a_lost_attempt(use_cases, monkeypatch, body)
    assert await late() == [WriteResult.DUPLICATE]
    assert await rows(use_cases, body["site"]) == [("", "refused"), ("Grace", "cancelled")]


async def test_overtaken_attempt_does_not_book_after_the_409(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that stalls while its retry gets 409 finds the tombstone, and gets AskedEarlier."""
    insert, stalled, go_on = BookingStore.insert_many, asyncio.Event(), asyncio.Event()

    async def stall(self: BookingStore, bookings: list[Booking], *, timeout: float) -> list[WriteResult]:
        if not stalled.is_set():
            stalled.set()
            await go_on.wait()
        return await insert(self, bookings, timeout=timeout)

    body = fresh()
    ada, asked = of(body, "Ada", KEY), a_second_ago()
    monkeypatch.setattr(BookingStore, "insert_many", stall)
    overtaken = asyncio.create_task(use_cases.bookings.book(ada, soon(), asked_at=asked))
    await stalled.wait()
    grace = await use_cases.bookings.book(of(body, "Grace"), soon())
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.bookings.book(ada, soon(), asked_at=asked)
    await use_cases.bookings.cancel(CancelAppointment(id=grace.booking.id), soon())
    go_on.set()
    with pytest.raises(AskedEarlier):
        await overtaken
    assert await rows(use_cases, body["site"]) == [("", "refused"), ("Grace", "cancelled")]
    assert (await use_cases.bookings.book(ada, soon())).booking.status == "booked"


async def test_without_a_tombstone_the_late_insert_books(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: without tombstones, the late insert books for a caller that got 409."""

    async def believe(_refusals: Refusals, judged: dict[Any, Any], _deadline: Deadline) -> dict[Any, Any]:
        return judged

    monkeypatch.setattr(Refusals, "make_final", believe)
    late = await refused_after_a_lost_attempt(use_cases, monkeypatch, fresh())
    assert await late() == [WriteResult.DONE]


async def test_later_request_with_the_key_books_in_the_tombstone(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later request with the key of a refused one books the free slot, in the tombstone's row."""
    body = fresh()
    late = await refused_after_a_lost_attempt(use_cases, monkeypatch, body)
    booked = await use_cases.bookings.book(of(body, "Ada", KEY), soon())
    assert not booked.replayed
    assert await late() == [WriteResult.DUPLICATE]
    assert await rows(use_cases, body["site"]) == [("Ada", "booked"), ("Grace", "cancelled")]
    again = await use_cases.bookings.book(of(body, "Ada", KEY), soon())
    assert again.replayed
    assert again.booking == booked.booking == await use_cases.reads.get(booked.booking.id, soon())
    row = await use_cases.database.get_collection("appointments").find_one({"_id": booked.booking.id})
    assert row == booked.booking.to_document()  # no field of the tombstone is left


async def test_key_of_a_refused_request_is_free_for_another(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusals are not remembered: another request may use the idempotency key."""
    body = fresh()
    await refused_after_a_lost_attempt(use_cases, monkeypatch, body)
    elsewhere = of({**body, "slot": TEN}, "Ada", KEY)
    assert (await use_cases.bookings.book(elsewhere, soon())).booking.slot == elsewhere.slot


async def test_replacement_that_lands_after_a_second_409_fails(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second 409 for a key also invalidates a booking sent in between: its compare-and-set fails."""
    body, ada = fresh(), None
    await refused_after_a_lost_attempt(use_cases, monkeypatch, body)
    ada = of(body, "Ada", KEY)
    asked = unix_ms_now() - 500
    late = await lose(
        monkeypatch,
        ChangeStore,
        "replace_many",
        lambda: use_cases.bookings.book(ada, soon(), asked_at=asked),
    )
    alan = await use_cases.bookings.book(of(body, "Alan"), soon())
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.bookings.book(ada, soon())
    await use_cases.bookings.cancel(CancelAppointment(id=alan.booking.id), soon())
    assert await late() == [WriteResult.UNSURE]
    assert ("Ada", "booked") not in await rows(use_cases, body["site"])


async def test_insert_that_lands_before_the_tombstone_is_replayed(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the first attempt lands before its retry writes the tombstone, the retry replays that booking."""
    body = fresh()
    ada = of(body, "Ada", KEY)
    late = await lose(
        monkeypatch,
        BookingStore,
        "insert_many",
        lambda: use_cases.bookings.book(ada, soon(), is_first_attempt=True),
    )
    grace = await use_cases.bookings.book(of(body, "Grace"), soon())
    refuse = ChangeStore.reserve_keys

    async def refuse_late(store: ChangeStore, keys: Any, **more: Any) -> list[WriteResult]:
        await use_cases.bookings.cancel(CancelAppointment(id=grace.booking.id), soon())
        assert await late() == [WriteResult.DONE]
        return await refuse(store, keys, **more)

    monkeypatch.setattr(ChangeStore, "reserve_keys", refuse_late)
    booked = await use_cases.bookings.book(ada, soon())
    assert (booked.replayed, booked.booking.patient_name) == (True, "Ada")


async def test_409_for_a_held_slot_is_final_too(use_cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A booking's 409 for a held slot writes a tombstone as well."""
    body = fresh()
    ada = of(body, "Ada", KEY)
    late = await lose(
        monkeypatch,
        BookingStore,
        "insert_many",
        lambda: use_cases.bookings.book(ada, soon(), is_first_attempt=True),
    )
    grace = PlaceHold.model_validate({**body, "patientName": "Grace"})
    async for key in use_cases.redis.scan_iter(f"intent*{{{body['site']}}}*"):
        await use_cases.redis.delete(key)  # so that the intent of Ada's lost attempt does not block the hold
    await grant(use_cases, grace)
    with pytest.raises(SlotHeld):
        await use_cases.bookings.book(ada, soon())
    assert await late() == [WriteResult.DUPLICATE]


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

    async def fail(_store: ChangeStore, keys: list[Any], **_: Any) -> list[WriteResult]:
        return [loss] * len(keys)

    body = fresh()
    await use_cases.bookings.book(of(body, "Grace"), soon())
    monkeypatch.setattr(ChangeStore, "reserve_keys", fail)
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


async def refused_after_a_lost_move(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> tuple[Late, Booking]:
    """Lose a move's first attempt, get a 409 for its retry, and cancel the booking that caused it."""
    body = fresh()
    ada = (await use_cases.bookings.book(of(body, "Ada"), soon())).booking
    move = MoveAppointment.model_validate({"id": ada.id, "slot": TEN, "moveId": str(uuid4())})
    late = await lose(monkeypatch, ChangeStore, "change_many", lambda: use_cases.bookings.move(move, soon()))
    grace = await use_cases.bookings.book(of({**body, "slot": TEN}, "Grace"), soon())
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.bookings.move(move, soon())
    await use_cases.bookings.cancel(CancelAppointment(id=grace.booking.id), soon())
    return late, ada


async def test_move_that_lands_after_the_409_does_nothing(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt of a refused move fails on the epoch; the booking can still be moved."""
    late, ada = await refused_after_a_lost_move(use_cases, monkeypatch)
    assert await late() == [WriteResult.UNSURE]
    found = await use_cases.reads.get(ada.id, soon())
    assert (found.slot, found.version, found.history) == (ada.slot, 1, ada.history)
    move = MoveAppointment.model_validate({"id": ada.id, "slot": TEN})
    assert (await use_cases.bookings.move(move, soon())).version == 2


async def test_without_the_epoch_the_late_move_moves(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: if a refused move leaves the epoch unchanged, its late attempt moves the booking."""

    async def believe(_fences: Fences, judged: dict[Any, Any], _deadline: Deadline) -> dict[Any, Any]:
        return judged

    monkeypatch.setattr(Fences, "make_final", believe)
    late, _ = await refused_after_a_lost_move(use_cases, monkeypatch)
    assert await late() == [WriteResult.DONE]


async def test_move_that_lands_before_the_epoch_write_is_done(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the first attempt lands before its retry raises the epoch, the retry answers 200."""
    body = fresh()
    ada = (await use_cases.bookings.book(of(body, "Ada"), soon())).booking
    move = MoveAppointment.model_validate({"id": ada.id, "slot": TEN, "moveId": str(uuid4())})
    late = await lose(monkeypatch, ChangeStore, "change_many", lambda: use_cases.bookings.move(move, soon()))
    grace = await use_cases.bookings.book(of({**body, "slot": TEN}, "Grace"), soon())
    raise_epoch = ChangeStore.fence_many

    async def raise_epoch_late(store: ChangeStore, changes: list[Change], **more: Any) -> list[WriteResult]:
        await use_cases.bookings.cancel(CancelAppointment(id=grace.booking.id), soon())
        assert await late() == [WriteResult.DONE]
        return await raise_epoch(store, changes, **more)

    monkeypatch.setattr(ChangeStore, "fence_many", raise_epoch_late)
    moved = await use_cases.bookings.move(move, soon())
    assert (moved.slot, moved.version) == (move.slot, 2)


async def test_refused_move_without_a_new_epoch_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the epoch cannot be raised, the outcome is unknown: a 409 would not be final."""

    async def fail(_store: ChangeStore, bookings: list[Any], **_: Any) -> list[WriteResult]:
        return [WriteResult.UNKNOWN] * len(bookings)

    body = fresh()
    ada = (await use_cases.bookings.book(of(body, "Ada"), soon())).booking
    await use_cases.bookings.book(of({**body, "slot": TEN}, "Grace"), soon())
    move = MoveAppointment.model_validate({"id": ada.id, "slot": TEN})
    monkeypatch.setattr(ChangeStore, "fence_many", fail)
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.move(move, soon())


async def test_simultaneous_refused_moves_of_one_booking_all_end(
    nats_connection: Client,
) -> None:
    """Simultaneous moves of one booking to a taken slot all get 409 or AskedEarlier."""
    life, body = Life(nats_connection), fresh()
    ada = await life.booked(body)
    await life.booked({**body, "slot": TEN, "patientName": "Grace"})
    answers = await asyncio.gather(*(life.move(ada["id"], slot=TEN) for _ in range(30)))
    assert {answer.headers["error-type"] for answer in answers} <= {"SlotAlreadyBooked", "AskedEarlier"}
    assert BOOKED in [answer.body for answer in answers]


async def grant(use_cases: UseCases, hold: PlaceHold) -> None:
    """Place a hold."""
    await use_cases.holds.place_hold(hold, soon())
