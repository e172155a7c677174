"""A refusal is final: who was told 409 is not booked or moved later, by an earlier attempt that comes late.

The test itself carries out late what an earlier attempt had sent, as MongoDB may.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client
from pymongo import MongoClient

from booking_worker.bookings.key_finality import Refusals
from booking_worker.bookings.move_finality import MoveRefusals
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
from shared.stores.mongo.changes import ChangeStore, CompareAndSet
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
    """An attempt whose write was sent and is not carried out yet, but when what is returned is called."""
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
    """When a caller asked whose later requests are known to be later, whatever the clocks."""
    return unix_ms_now() - 1000


async def rows(use_cases: UseCases, site: str) -> list[tuple[str, str]]:
    """What is stored of a site: whose, and its status."""
    found = await use_cases.database.get_collection("appointments").find({"site": site}).to_list(None)
    return sorted((row.get("patientName", ""), row["status"]) for row in found)


def of(body: dict[str, Any], patient: str, key: str | None = None) -> BookAppointment:
    return BookAppointment.model_validate({**body, "patientName": patient, "idempotencyKey": key})


async def refused_after_a_lost_attempt(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any]
) -> Late:
    """Ada's first attempt is not answered, her second is told 409, and Grace, who was in the way, cancels."""
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


async def test_an_insert_that_comes_after_the_409_fails(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A booking that was refused is not made by its first attempt, though its slot is free by then."""
    body = fresh()
    late = await refused_after_a_lost_attempt(use_cases, monkeypatch, body)
    assert await late() == [WriteResult.DUPLICATE]
    assert await rows(use_cases, body["site"]) == [("", "refused"), ("Grace", "cancelled")]


async def test_an_attempt_that_was_overtaken_does_not_book_after_the_409(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that stands still while a later one is told 409 finds its key taken and does not use it."""
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


async def test_control_without_the_key_taken_it_succeeds(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: where refusals take no keys, the late insert books for somebody who was told 409."""

    async def believe(_refusals: Refusals, judged: dict[Any, Any], _deadline: Deadline) -> dict[Any, Any]:
        return judged

    monkeypatch.setattr(Refusals, "make_final", believe)
    late = await refused_after_a_lost_attempt(use_cases, monkeypatch, fresh())
    assert await late() == [WriteResult.DONE]


async def test_a_later_command_with_that_key_is_judged_anew(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was refused and asks again with the same key, once the slot is free, books it, in that row."""
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
    assert row == booked.booking.to_document()  # nothing is left of the refusal


async def test_another_request_may_use_the_key_of_a_refused_one(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusals are not remembered: with that key something else may be asked for."""
    body = fresh()
    await refused_after_a_lost_attempt(use_cases, monkeypatch, body)
    elsewhere = of({**body, "slot": TEN}, "Ada", KEY)
    assert (await use_cases.bookings.book(elsewhere, soon())).booking.slot == elsewhere.slot


async def test_a_replacement_that_comes_after_a_second_409_fails(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is refused again keeps out what was sent in between, too."""
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


async def test_an_insert_that_comes_before_the_key_is_taken_is_the_answer(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first attempt lands while the second is being refused, the second is told of that booking."""
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


async def test_a_held_slot_is_refused_for_good_too(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a booking is told that its slot is held, its key is taken as well."""
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
        await use_cases.redis.delete(key)  # as if Ada's lost attempt had not been in the way of her hold
    await grant(use_cases, grace)
    with pytest.raises(SlotHeld):
        await use_cases.bookings.book(ada, soon())
    assert await late() == [WriteResult.DUPLICATE]


async def test_a_first_command_takes_no_key(use_cases: UseCases) -> None:
    """What was certainly never sent before is refused without a trace, and so is what has no key."""
    body = fresh()
    await use_cases.bookings.book(of(body, "Grace"), soon())
    for command, first in ((of(body, "Ada", KEY), True), (of(body, "Ada"), False)):
        with pytest.raises(SlotAlreadyBooked):
            await use_cases.bookings.book(command, soon(), is_first_attempt=first)
    assert await rows(use_cases, body["site"]) == [("Grace", "booked")]


@pytest.mark.parametrize("loss", [WriteResult.UNKNOWN, WriteResult.NO_PRIMARY, WriteResult.NOT_EXECUTED])
async def test_a_refusal_whose_key_cannot_be_taken_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, loss: WriteResult
) -> None:
    """Where MongoDB is lost before the key is taken, nobody hears 409, which would not be final."""

    async def fail(_store: ChangeStore, keys: list[Any], **_: Any) -> list[WriteResult]:
        return [loss] * len(keys)

    body = fresh()
    await use_cases.bookings.book(of(body, "Grace"), soon())
    monkeypatch.setattr(ChangeStore, "reserve_keys", fail)
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.book(of(body, "Ada", KEY), soon())


async def test_a_refused_row_is_nobodys_appointment(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id of a refused row cannot be read, cancelled or moved, and no claim is taken by it."""
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


async def test_refused_rows_expire(use_cases: UseCases) -> None:
    """MongoDB deletes tombstones alone, once no attempt comes any more; a start makes the index again."""
    appointments = use_cases.database.get_collection("appointments")
    for _ in range(2):
        index = (await appointments.index_information())["refused_rows_expire"]
        assert index["key"] == [("refusedAt", 1)]
        assert index["expireAfterSeconds"] == 66
        assert index["partialFilterExpression"] == {"status": "refused"}
        await appointments.drop_index("refused_rows_expire")
        await use_cases.schema._check()
        assert use_cases.schema.verified  # it decides nothing
        await Schema(use_cases.database, slot_minutes=0).wait_until_verified()


@pytest.mark.parametrize("many", [False, True], ids=["single", "many"])
async def test_repeats_of_a_refused_command_book_once(
    nats_connection: Client, stack: Stack, many: bool
) -> None:
    """Of 30 simultaneous repeats of a refused command, once its slot is free, all tell of one booking.

    Of those that are refused at once one may find the tombstone of another.
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
    """A move's first attempt is not answered, its second is told 409, and who was in the way cancels."""
    body = fresh()
    ada = (await use_cases.bookings.book(of(body, "Ada"), soon())).booking
    move = MoveAppointment.model_validate({"id": ada.id, "slot": TEN, "moveId": str(uuid4())})
    late = await lose(monkeypatch, ChangeStore, "change_many", lambda: use_cases.bookings.move(move, soon()))
    grace = await use_cases.bookings.book(of({**body, "slot": TEN}, "Grace"), soon())
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.bookings.move(move, soon())
    await use_cases.bookings.cancel(CancelAppointment(id=grace.booking.id), soon())
    return late, ada


async def test_a_move_that_comes_after_the_409_does_nothing(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A move that was refused is not made by its first attempt, and the booking can still be moved."""
    late, ada = await refused_after_a_lost_move(use_cases, monkeypatch)
    assert await late() == [WriteResult.UNSURE]
    found = await use_cases.reads.get(ada.id, soon())
    assert (found.slot, found.version, found.history) == (ada.slot, 1, ada.history)
    move = MoveAppointment.model_validate({"id": ada.id, "slot": TEN})
    assert (await use_cases.bookings.move(move, soon())).version == 2


async def test_control_without_the_fence_it_moves(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: where refused moves fence nothing, the late one moves a booking that was to stay."""

    async def believe(_refusals: MoveRefusals, judged: dict[Any, Any], _deadline: Deadline) -> dict[Any, Any]:
        return judged

    monkeypatch.setattr(MoveRefusals, "make_final", believe)
    late, _ = await refused_after_a_lost_move(use_cases, monkeypatch)
    assert await late() == [WriteResult.DONE]


async def test_a_move_that_lands_before_the_fence_is_the_answer(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first attempt lands while the second is being refused, the second is told that it moved."""
    body = fresh()
    ada = (await use_cases.bookings.book(of(body, "Ada"), soon())).booking
    move = MoveAppointment.model_validate({"id": ada.id, "slot": TEN, "moveId": str(uuid4())})
    late = await lose(monkeypatch, ChangeStore, "change_many", lambda: use_cases.bookings.move(move, soon()))
    grace = await use_cases.bookings.book(of({**body, "slot": TEN}, "Grace"), soon())
    advance = ChangeStore.advance_epochs

    async def advance_late(
        store: ChangeStore, changes: list[CompareAndSet], **more: Any
    ) -> list[WriteResult]:
        await use_cases.bookings.cancel(CancelAppointment(id=grace.booking.id), soon())
        assert await late() == [WriteResult.DONE]
        return await advance(store, changes, **more)

    monkeypatch.setattr(ChangeStore, "advance_epochs", advance_late)
    moved = await use_cases.bookings.move(move, soon())
    assert (moved.slot, moved.version) == (move.slot, 2)


async def test_a_refused_move_that_cannot_be_fenced_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where MongoDB is lost before a booking is fenced, its mover hears no 409, which would not be final."""

    async def fail(_store: ChangeStore, bookings: list[Any], **_: Any) -> list[WriteResult]:
        return [WriteResult.UNKNOWN] * len(bookings)

    body = fresh()
    ada = (await use_cases.bookings.book(of(body, "Ada"), soon())).booking
    await use_cases.bookings.book(of({**body, "slot": TEN}, "Grace"), soon())
    move = MoveAppointment.model_validate({"id": ada.id, "slot": TEN})
    monkeypatch.setattr(ChangeStore, "advance_epochs", fail)
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.move(move, soon())


async def test_refused_movers_of_one_booking_do_not_keep_each_other_waiting(
    nats_connection: Client,
) -> None:
    """Of many moves of one booking to a taken slot each is 409, or was asked before one that is decided."""
    life, body = Life(nats_connection), fresh()
    ada = await life.booked(body)
    await life.booked({**body, "slot": TEN, "patientName": "Grace"})
    answers = await asyncio.gather(*(life.move(ada["id"], slot=TEN) for _ in range(30)))
    assert {answer.headers["error-type"] for answer in answers} <= {"SlotAlreadyBooked", "AskedEarlier"}
    assert BOOKED in [answer.body for answer in answers]


async def nobody(*_: Any) -> list[str]:
    """Of the bookings that a hold has to wait for."""
    return []


async def grant(use_cases: UseCases, hold: PlaceHold) -> None:
    """Place a hold."""
    await use_cases.holds.place_hold(hold, soon())
