"""What the typed client makes of answers that are seldom. The test takes the worker's place on NATS."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg

from shared.client.command_client import CommandClient
from shared.contract.commands import BookAppointment, PlaceHold
from shared.contract.errors import (
    Conflict,
    NoResponders,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    SlotAlreadyBooked,
    SlotHeld,
)
from shared.contract.operations import BOOK, PLACE
from shared.process.nats_wire import round_trip
from tests.integration.stand_in import (
    BOOKED,
    NOBODY,
    Replies,
    answer_all,
    answering,
    items_of,
    say_that_nobody_is_there,
)
from tests.servers import Servers
from tests.slots import fresh

HELD = (
    b'{"status":409,"body":{"error":"Slot is currently held by another user"},'
    b'"headers":{"Error-Type":"SlotHeld"}}'
)
NOT_EXECUTED = b'{"status":503,"body":{"error":"Nothing was done","outcome":"not_executed"}}'
NO_PRIMARY = (
    b'{"status":503,"body":{"error":"The booking database cannot be reached; nothing was done",'
    b'"outcome":"not_executed"},"headers":{"Error-Type":"NoPrimary"}}'
)
UNKNOWN = b'{"status":504,"body":{"error":"Not known","outcome":"unknown"}}'


@asynccontextmanager
async def slow_to_answer(
    servers: Servers, before: Replies, *, seconds: float
) -> AsyncIterator[CommandClient]:
    """A client that first gets these replies, and then a booking, but only after so long."""

    async def answer(message: Msg) -> None:
        if before:
            await say_that_nobody_is_there(message)
            before.pop()
        else:
            await asyncio.sleep(seconds)
            await answer_all(message, BOOKED)

    with servers.new_stack() as stack:
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            await connection.subscribe(BOOK.many_subject, cb=answer)
            await round_trip(connection)
            async with CommandClient(stack.env["NATS_URL"], timeout=6) as client:
                yield client


@pytest.mark.parametrize("reply", [NOT_EXECUTED], ids=["503"])
@pytest.mark.parametrize("subject", [BOOK.many_subject, PLACE.many_subject])
async def test_a_repeat_that_was_not_executed_tells_nothing_of_the_first_attempt(
    servers: Servers, subject: str, reply: bytes
) -> None:
    """Where an attempt was not answered and its repeats certainly did nothing, the outcome is unknown."""
    async with answering(servers, subject, [None, reply, reply]) as client:
        book, hold = BookAppointment.model_validate(fresh()), PlaceHold.model_validate(fresh())
        with pytest.raises(OutcomeUnknown):
            await (client.send(BOOK, book) if subject == BOOK.many_subject else client.send(PLACE, hold))


@pytest.mark.parametrize("reply", [None, UNKNOWN], ids=["silence", "504"])
async def test_no_two_attempts_are_under_way_at_once(servers: Servers, reply: bytes | None) -> None:
    """The next attempt is sent once the deadline of the one before has passed; three fill the timeout."""
    met: list[tuple[float, int]] = []
    with servers.new_stack() as stack:
        async with await nats.connect(stack.env["NATS_URL"]) as connection:

            async def note(message: Msg) -> None:
                met.append((time.time() * 1000, items_of(message)[0]["deadline"]))
                if reply:
                    await answer_all(message, reply)

            await connection.subscribe(BOOK.many_subject, cb=note)
            await round_trip(connection)
            async with CommandClient(stack.env["NATS_URL"], timeout=0.6) as client:
                with pytest.raises(OutcomeUnknown):
                    await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert len(met) == 3
    assert all(later[0] >= earlier[1] for earlier, later in pairwise(met))
    assert all(deadline - received <= 200 for received, deadline in met)


@pytest.mark.parametrize(
    ("subject", "field"), [(BOOK.many_subject, "idempotencyKey"), (PLACE.many_subject, "holdToken")]
)
async def test_all_attempts_have_the_key_or_the_token_that_was_made(
    servers: Servers, subject: str, field: str
) -> None:
    """What the caller left out is made once a command: else a repeat would meet its own earlier attempt."""
    met: list[dict[str, Any]] = []
    with servers.new_stack() as stack:
        async with await nats.connect(stack.env["NATS_URL"]) as connection:

            async def note(message: Msg) -> None:
                met.append(items_of(message)[0]["command"])

            await connection.subscribe(subject, cb=note)
            await round_trip(connection)
            async with CommandClient(stack.env["NATS_URL"], timeout=0.6) as client:
                book, hold = BookAppointment.model_validate(fresh()), PlaceHold.model_validate(fresh())
                with pytest.raises(OutcomeUnknown):
                    await (
                        client.send(BOOK, book) if subject == BOOK.many_subject else client.send(PLACE, hold)
                    )
    assert len(met) == 3
    assert met[0] == met[1] == met[2]
    assert met[0][field]


async def test_what_a_later_attempt_hears_counts(servers: Servers) -> None:
    """Where a repeat met no primary of MongoDB, the last attempt still may succeed."""
    async with answering(servers, BOOK.many_subject, [None, NO_PRIMARY, BOOKED]) as client:
        reply = await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert reply.status == 201


async def test_a_first_attempt_refused_as_held_is_refused(servers: Servers) -> None:
    """Where no attempt is open, a hold is a refusal, and nothing is repeated."""
    replies: Replies = [HELD, None]
    async with answering(servers, BOOK.many_subject, replies) as client:
        with pytest.raises(SlotHeld):
            await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert replies == [None]


async def test_where_an_attempt_was_not_answered_and_then_nobody_is_there_it_is_unknown(
    servers: Servers,
) -> None:
    """That repeats reached nobody tells nothing of the attempt before them."""
    async with answering(servers, BOOK.many_subject, [None, *[NOBODY] * 50]) as client:
        with pytest.raises(OutcomeUnknown):
            await client.send(BOOK, BookAppointment.model_validate(fresh()))


async def test_attempts_that_reach_nobody_do_not_count(servers: Servers) -> None:
    """However often nobody is there, an attempt that reaches a worker still has the time for its answer."""
    replies: Replies = [NOBODY] * 4
    async with slow_to_answer(servers, replies, seconds=1) as client:
        reply = await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert reply.status == 201
    assert not replies


async def test_where_nobody_comes_in_time_nothing_was_done(servers: Servers) -> None:
    """A caller whose patience would not last for one more attempt hears that nothing was done."""
    async with answering(servers, BOOK.many_subject, [NOBODY] * 50) as client:
        with pytest.raises(NoResponders):
            await client.send(BOOK, BookAppointment.model_validate(fresh()))


@pytest.mark.parametrize(
    ("error_type", "refusal"),
    [("SlotHeld", SlotHeld), ("SlotAlreadyBooked", SlotAlreadyBooked), ("Unheard", Conflict)],
)
async def test_a_refusal_is_known_by_its_type_whatever_its_sentence(
    servers: Servers, error_type: str, refusal: type[Refused]
) -> None:
    """A sentence may be reworded; a type that a client does not know is one of its status."""
    reworded = (
        b'{"status":409,"body":{"error":"Someone was faster"},"headers":{"Error-Type":"%b"}}'
        % error_type.encode()
    )
    async with answering(servers, BOOK.many_subject, [reworded]) as client:
        with pytest.raises(Conflict) as raised:
            await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert (type(raised.value), raised.value.text) == (refusal, "Someone was faster")


async def test_a_moment_without_workers_is_waited_for(servers: Servers) -> None:
    """While the only worker is started anew, NATS says that nobody is there: the command is sent again."""
    with servers.new_stack() as stack:
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            back = time.monotonic() + 0.15

            async def answer(message: Msg) -> None:
                there = time.monotonic() >= back
                await answer_all(message, BOOKED) if there else await say_that_nobody_is_there(message)

            await connection.subscribe(BOOK.many_subject, cb=answer)
            await round_trip(connection)
            async with CommandClient(stack.env["NATS_URL"]) as client:
                reply = await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert reply.status == 201


async def test_a_missing_primary_is_waited_for(servers: Servers) -> None:
    """A booking that found no primary of MongoDB is attempted again: one may be elected in time."""
    async with answering(servers, BOOK.many_subject, [NO_PRIMARY, BOOKED]) as client:
        reply = await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert reply.status == 201


async def test_no_primary_in_time_is_not_executed(servers: Servers) -> None:
    """Where no attempt found a primary, nothing was done; where one was not answered, it is unknown."""
    command = BookAppointment.model_validate(fresh())
    async with answering(servers, BOOK.many_subject, [NO_PRIMARY] * 3) as client:
        with pytest.raises(NotExecuted):
            await client.send(BOOK, command)
    async with answering(servers, BOOK.many_subject, [UNKNOWN, NO_PRIMARY, NO_PRIMARY]) as client:
        with pytest.raises(OutcomeUnknown):
            await client.send(BOOK, command)


async def test_what_was_not_executed_for_another_reason_is_answered_at_once(servers: Servers) -> None:
    """A worker that refuses because it has too much to do is not asked again: that would be more to do."""
    replies: Replies = [NOT_EXECUTED, BOOKED]
    async with answering(servers, BOOK.many_subject, replies) as client:
        with pytest.raises(NotExecuted):
            await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert replies == [BOOKED]


@pytest.mark.parametrize("subject", [BOOK.many_subject, PLACE.many_subject])
async def test_a_refusal_of_a_repeat_is_a_refusal(servers: Servers, subject: str) -> None:
    """A worker refuses the repeat of an unanswered attempt only once that cannot land any more."""
    async with answering(servers, subject, [None, HELD]) as client:
        book, hold = BookAppointment.model_validate(fresh()), PlaceHold.model_validate(fresh())
        with pytest.raises(SlotHeld):
            await (client.send(BOOK, book) if subject == BOOK.many_subject else client.send(PLACE, hold))


@pytest.mark.parametrize(
    "reply",
    [
        b"1",
        b"[]",
        b'{"status":200}',
        b'{"status":200,"body":[]}',
        b'{"status":"?","body":{}}',
        b'{"status":599,"body":{"error":"?"}}',
        b'{"status":201,"body":{},"headers":1}',
    ],
)
async def test_an_answer_that_is_none_tells_nothing(servers: Servers, reply: bytes) -> None:
    """What is no answer of a worker leaves the outcome unknown; the caller gets no other exception."""
    async with answering(servers, BOOK.many_subject, [reply] * 3) as client:
        with pytest.raises(OutcomeUnknown):
            await client.send(BOOK, BookAppointment.model_validate(fresh()))


async def test_a_body_is_read_when_it_is_asked_for(servers: Servers) -> None:
    """A body is passed on as it came; who reads one that is no booking hears that it is not known."""
    odd = b'{"status":201,"body":{"message":"Ada","more":1.50}}'
    async with answering(servers, BOOK.many_subject, [odd, BOOKED]) as client:
        reply = await client.send(BOOK, BookAppointment.model_validate(fresh()))
        confirmed = await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert reply.json == '{"message":"Ada","more":1.5}'
    with pytest.raises(OutcomeUnknown) as raised:
        _ = reply.body
    assert "Ada" not in repr(raised.value.__cause__)
    assert confirmed.body.appointment.id == "4711"
    assert confirmed.json == json.dumps(json.loads(BOOKED)["body"], separators=(",", ":"))
