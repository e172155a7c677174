"""The order in which callers asked decides, however late an attempt of a request comes.

`Asked-At` says over NATS when a caller asked. So a test says what a late attempt of the client would say.
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
from tests.integration.life import BOOKED, HELD, Life
from tests.integration.many import ask_many
from tests.integration.test_final_refusals import of, rows, soon
from tests.integration.use_cases import UseCases
from tests.slots import fresh

NINE, TEN, ELEVEN = (f"2031-05-04T{hour:02}:00:00.000Z" for hour in (9, 10, 11))


class Asking(Life):
    """A caller who says when it asked, in milliseconds before this caller was made."""

    def __init__(self, connection: Client) -> None:
        super().__init__(connection)
        self.now = unix_ms_now()

    async def at(self, before: int, kind: str, body: dict[str, Any]) -> Answer:
        return await self.request(f"booking.v1.{kind}", body, {"Asked-At": str(self.now - before)})


@pytest.fixture
def asking(nats_connection: Client) -> Asking:
    return Asking(nats_connection)


def asked_earlier(answer: Answer) -> bool:
    """Whether nothing was done, for a later request was answered."""
    assert answer.status in (200, 201, 409, 503), answer
    if answer.headers.get("error-type") != "AskedEarlier":
        return False
    assert (answer.status, answer.body["outcome"]) == (503, "not_executed")
    assert answer.headers["retry-after"] == "1"
    return True


async def refused(asking: Asking, body: dict[str, Any], *, before: int) -> None:
    """Ada's booking is refused, since Grace has its slot, who then cancels."""
    grace = await asking.booked({**body, "patientName": "Grace", "idempotencyKey": None})
    assert (await asking.at(before, "book", body)).body == BOOKED
    assert (await asking.cancel(grace["id"])).status == 200


@pytest.mark.parametrize("since", [0, 500, -CLOCK_SKEW_MS])
async def test_an_attempt_asked_no_later_than_a_refused_one_does_not_book(asking: Asking, since: int) -> None:
    """After a 409 no attempt books that was asked earlier, or later by less than clocks may differ."""
    body = fresh("Ada", idempotencyKey="order 4711")
    await refused(asking, body, before=1000)
    assert asked_earlier(await asking.at(1000 + since, "book", body))
    assert (await asking.at(1000 - CLOCK_SKEW_MS - 1, "book", body)).status == 201


async def test_an_earlier_attempt_is_told_that_before_it_is_told_409(asking: Asking) -> None:
    """A command whose key was refused later is no 409, whether its slot is booked or held by then."""
    body = fresh("Ada", idempotencyKey="order 4711")
    await refused(asking, body, before=1000)
    rival = {**body, "patientName": "Grace"}
    del rival["idempotencyKey"]
    assert (await asking.hold(rival)).status == 200
    assert asked_earlier(await asking.at(2000, "book", body))
    await asking.booked(rival)
    assert asked_earlier(await asking.at(2000, "book", body))
    assert (await asking.at(0, "book", body)).body == BOOKED


async def test_the_latest_refusal_of_a_key_counts_however_a_batch_is_ordered(
    asking: Asking, nats_connection: Client
) -> None:
    """Of equal keys in one message the latest that is refused bars the earlier ones, not the last."""
    body = fresh("Ada", idempotencyKey="order 4711")
    grace = await asking.booked({**body, "patientName": "Grace", "idempotencyKey": None})
    commands = [{"command": body, "askedAt": asking.now - n} for n in (1000, 2000)]
    await ask_many(nats_connection, "booking.v1.book_many", commands)
    await asking.cancel(grace["id"])
    assert asked_earlier(await asking.at(1500, "book", body))


async def test_a_tombstone_keeps_the_latest_moment(use_cases: UseCases) -> None:
    """A refusal that was asked earlier does not set a tombstone back."""
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


async def test_the_expiry_of_an_older_release_is_changed_at_start(use_cases: UseCases) -> None:
    """Tombstones are kept for about a minute: an index that keeps them for a day is changed, not refused."""
    appointments = use_cases.database.get_collection("appointments")
    await use_cases.database.command(
        "collMod", "appointments", index={"name": "refused_rows_expire", "expireAfterSeconds": 86_400}
    )
    await Schema(use_cases.database, slot_minutes=0).wait_until_verified()
    index = (await appointments.index_information())["refused_rows_expire"]
    assert index["expireAfterSeconds"] == TOMBSTONE_SECONDS < 120


async def test_a_move_asked_before_one_that_is_done_moves_nothing(asking: Asking) -> None:
    """A late attempt of an older move does not take back a newer one, with or without effect."""
    appointment = await asking.booked(fresh())
    assert (await asking.at(1000, "move", {"id": appointment["id"], "slot": NINE})).status == 200
    assert asked_earlier(await asking.at(1001, "move", {"id": appointment["id"], "slot": TEN}))
    assert (await asking.at(1000, "move", {"id": appointment["id"], "slot": ELEVEN})).status == 200
    assert asked_earlier(await asking.at(2000, "move", {"id": appointment["id"], "slot": TEN}))
    assert (await asking.found(appointment["id"]))["slot"] == ELEVEN


@pytest.mark.parametrize("move_id", [None, "desk 4711"])
async def test_a_refused_move_is_not_made_by_its_own_earlier_attempt(
    asking: Asking, move_id: str | None
) -> None:
    """After a 409 an attempt of the same move, asked at the same moment, finds that it is refused."""
    body = fresh()
    appointment = await asking.booked(body)
    grace = await asking.booked({**body, "slot": TEN, "patientName": "Grace"})
    move = {"id": appointment["id"], "slot": TEN} | ({"moveId": move_id} if move_id else {})
    assert (await asking.at(1000, "move", move)).body == BOOKED
    await asking.cancel(grace["id"])
    assert asked_earlier(await asking.at(1000 if move_id else 1001, "move", move))
    assert await asking.found(appointment["id"]) == appointment
    assert (await asking.at(999, "move", move)).status == 200


async def test_a_move_that_is_refused_as_held_bars_earlier_ones_too(asking: Asking) -> None:
    """Both 409s of a move are final, `first` or not: an attempt asked earlier comes too late."""
    body, token = fresh("Ada"), str(uuid4())
    appointment = await asking.booked(body)
    await asking.hold({**body, "slot": TEN, "patientName": "Grace", "holdToken": token})
    move = {"id": appointment["id"], "slot": TEN}
    assert (await asking.at(1000, "move", move)).body == HELD
    await asking.ask("release", {"slot": TEN, "holdToken": token, "site": body["site"]})
    assert asked_earlier(await asking.at(1001, "move", move))


async def test_moves_of_one_booking_in_one_message_are_made_in_the_order_of_asking(
    asking: Asking, nats_connection: Client
) -> None:
    """Of two moves of a booking in one message the one that was asked for later is where it ends."""
    appointment = await asking.booked(fresh())
    commands = [
        {"command": {"id": appointment["id"], "slot": slot}, "askedAt": asking.now - before}
        for slot, before in ((ELEVEN, 100), (TEN, 200))
    ]
    replies = await ask_many(nats_connection, "booking.v1.move_many", commands)
    assert [reply["status"] for reply in replies] == [200, 200]
    slots = [slot for _, _, slot in await asking.changes(appointment["id"])]
    assert slots == [NINE, TEN, ELEVEN]
