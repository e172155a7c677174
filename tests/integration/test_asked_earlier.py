"""The time at which callers asked decides, however late an attempt of a request arrives.

Over NATS, `Asked-At` carries that time; here a test sends it as a late attempt of the client would.
"""

from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client

from shared.contract.asked_at import CLOCK_SKEW_MS, unix_ms_now
from shared.contract.commands import CancelAppointment
from shared.stores.mongo.indexes import TOMBSTONE_SECONDS
from shared.stores.mongo.schema import Schema
from tests.callers import Answer
from tests.integration.final_refusals import of, rows, soon
from tests.integration.life import BOOKED, HELD, Life
from tests.integration.many import ask_many
from tests.integration.use_cases import UseCases
from tests.slots import fresh

NINE, TEN, ELEVEN = (f"2031-05-04T{hour:02}:00:00.000Z" for hour in (9, 10, 11))


class Asking(Life):
    """A caller that sends `Asked-At`, in ms before this object was created."""

    def __init__(self, connection: Client) -> None:
        super().__init__(connection)
        self.now = unix_ms_now()

    async def at(self, before: int, kind: str, body: dict[str, Any]) -> Answer:
        return await self.request(f"booking.v1.{kind}", body, {"Asked-At": str(self.now - before)})


@pytest.fixture
def asking(nats_connection: Client) -> Asking:
    return Asking(nats_connection)


def asked_earlier(answer: Answer) -> bool:
    """Return whether the answer is the 503 `AskedEarlier`: not executed, a later request was answered."""
    assert answer.status in (200, 201, 409, 503), answer
    if answer.headers.get("error-type") != "AskedEarlier":
        return False
    assert (answer.status, answer.body["outcome"]) == (503, "not_executed")
    assert answer.headers["retry-after"] == "1"
    return True


async def refuse_ada(asking: Asking, body: dict[str, Any], *, before: int) -> None:
    """Get a 409 for Ada's booking because Grace has its slot; then cancel Grace's booking."""
    grace = await asking.booked({**body, "patientName": "Grace", "idempotencyKey": None})
    assert (await asking.at(before, "book", body)).body == BOOKED
    assert (await asking.cancel(grace["id"])).status == 200


@pytest.mark.parametrize("since", [0, 500, -CLOCK_SKEW_MS])
async def test_attempt_asked_no_later_than_a_refused_one_does_not_book(asking: Asking, since: int) -> None:
    """After a 409, an attempt asked earlier, or later within the clock skew, does not book."""
    body = fresh("Ada", idempotencyKey="order 4711")
    await refuse_ada(asking, body, before=1000)
    assert asked_earlier(await asking.at(1000 + since, "book", body))
    assert (await asking.at(1000 - CLOCK_SKEW_MS - 1, "book", body)).status == 201


async def test_asked_earlier_wins_over_booked_and_held(asking: Asking) -> None:
    """A command asked before its key was refused gets AskedEarlier, not 409, for a booked or held slot."""
    body = fresh("Ada", idempotencyKey="order 4711")
    await refuse_ada(asking, body, before=1000)
    rival = {**body, "patientName": "Grace"}
    del rival["idempotencyKey"]
    assert (await asking.hold(rival)).status == 200
    assert asked_earlier(await asking.at(2000, "book", body))
    await asking.booked(rival)
    assert asked_earlier(await asking.at(2000, "book", body))
    assert (await asking.at(0, "book", body)).body == BOOKED


async def test_tombstone_keeps_the_latest_refusal_in_any_batch_order(
    asking: Asking, nats_connection: Client
) -> None:
    """If one batch refuses equal keys, the latest `askedAt` bars earlier attempts, in any order."""
    body = fresh("Ada", idempotencyKey="order 4711")
    grace = await asking.booked({**body, "patientName": "Grace", "idempotencyKey": None})
    commands = [{"command": body, "askedAt": asking.now - n} for n in (1000, 2000)]
    await ask_many(nats_connection, "booking.v1.book_many", commands)
    await asking.cancel(grace["id"])
    assert asked_earlier(await asking.at(1500, "book", body))


async def test_tombstone_keeps_the_latest_asked_at(use_cases: UseCases) -> None:
    """A refusal that was asked earlier does not lower the `askedAt` of a tombstone."""
    body, now = fresh(), unix_ms_now()
    grace = await use_cases.bookings.book(of(body, "Grace"), soon())
    for asked in (now - 1000, now - 2000):
        with pytest.raises(Exception, match="booked|later"):
            await use_cases.bookings.book(of(body, "Ada", "key"), soon(), asked_at=asked)
    await use_cases.bookings.cancel(CancelAppointment(id=grace.booking.id), soon())
    row = await use_cases.database.get_collection("appointments").find_one({"status": "refused"})
    assert row is not None
    assert row["askedAt"] == now - 1000
    assert await rows(use_cases, body["site"]) == [("", "refused"), ("Grace", "cancelled")]


async def test_start_shortens_the_tombstone_expiry_of_an_older_release(use_cases: UseCases) -> None:
    """A worker's start changes a tombstone index that keeps rows for a day to about a minute."""
    appointments = use_cases.database.get_collection("appointments")
    await use_cases.database.command(
        "collMod", "appointments", index={"name": "refused_rows_expire", "expireAfterSeconds": 86_400}
    )
    await Schema(use_cases.database, slot_minutes=0).wait_until_verified()
    index = (await appointments.index_information())["refused_rows_expire"]
    assert index["expireAfterSeconds"] == TOMBSTONE_SECONDS < 120


async def test_move_asked_before_a_done_move_moves_nothing(asking: Asking) -> None:
    """A late attempt of an older move does not undo a newer move, even one that changed nothing."""
    appointment = await asking.booked(fresh())
    assert (await asking.at(1000, "move", {"id": appointment["id"], "slot": NINE})).status == 200
    assert asked_earlier(await asking.at(1001, "move", {"id": appointment["id"], "slot": TEN}))
    assert (await asking.at(1000, "move", {"id": appointment["id"], "slot": ELEVEN})).status == 200
    assert asked_earlier(await asking.at(2000, "move", {"id": appointment["id"], "slot": TEN}))
    assert (await asking.found(appointment["id"]))["slot"] == ELEVEN


@pytest.mark.parametrize("move_id", [None, "desk 4711"])
async def test_refused_move_is_not_made_by_its_own_earlier_attempt(
    asking: Asking, move_id: str | None
) -> None:
    """After a 409, an attempt of the same move with the same `askedAt` gets AskedEarlier."""
    body = fresh()
    appointment = await asking.booked(body)
    grace = await asking.booked({**body, "slot": TEN, "patientName": "Grace"})
    move = {"id": appointment["id"], "slot": TEN} | ({"moveId": move_id} if move_id else {})
    assert (await asking.at(1000, "move", move)).body == BOOKED
    await asking.cancel(grace["id"])
    assert asked_earlier(await asking.at(1000 if move_id else 1001, "move", move))
    assert await asking.found(appointment["id"]) == appointment
    assert (await asking.at(999, "move", move)).status == 200


async def test_move_refused_as_held_bars_earlier_attempts(asking: Asking) -> None:
    """A move's 409 for a held slot is final too: an attempt asked earlier gets AskedEarlier."""
    body, token = fresh("Ada"), str(uuid4())
    appointment = await asking.booked(body)
    await asking.hold({**body, "slot": TEN, "patientName": "Grace", "holdToken": token})
    move = {"id": appointment["id"], "slot": TEN}
    assert (await asking.at(1000, "move", move)).body == HELD
    await asking.ask("release", {"slot": TEN, "holdToken": token, "site": body["site"]})
    assert asked_earlier(await asking.at(1001, "move", move))


async def test_moves_of_one_booking_in_a_batch_run_in_order_of_asking(
    asking: Asking, nats_connection: Client
) -> None:
    """Two moves of one booking in one batch run in the order of `askedAt`: the later one wins."""
    appointment = await asking.booked(fresh())
    commands = [
        {"command": {"id": appointment["id"], "slot": slot}, "askedAt": asking.now - before}
        for slot, before in ((ELEVEN, 100), (TEN, 200))
    ]
    replies = await ask_many(nats_connection, "booking.v1.move_many", commands)
    assert [reply["status"] for reply in replies] == [200, 200]
    slots = [slot for _, _, slot in await asking.changes(appointment["id"])]
    assert slots == [NINE, TEN, ELEVEN]
