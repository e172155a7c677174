"""How the client handles rare answers. The test takes the worker's place on NATS."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from shared.client.attempts import attempt_seconds
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
from tests.integration.stand_in import (
    BOOKED,
    NO_RESPONDERS,
    PATIENCE,
    Replies,
    answer_all,
    answering,
    attempts_of,
    deadline_of,
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
LONG = 0.8 * attempt_seconds(PATIENCE)
"""A worker that takes so long answers in time, and leaves no time for a fourth attempt."""
SOON = 0.05
UNKNOWN = b'{"status":504,"body":{"error":"Not known","outcome":"unknown"}}'


@pytest.mark.parametrize("reply", [NOT_EXECUTED], ids=["503"])
@pytest.mark.parametrize("subject", [BOOK.many_subject, PLACE.many_subject])
async def test_not_executed_retry_leaves_a_lost_attempt_unknown(
    servers: Servers, subject: str, reply: bytes
) -> None:
    """If the first attempt got no answer and its retry was not executed, the outcome is unknown."""
    async with answering(servers, subject, [None, reply]) as client:
        book, hold = BookAppointment.model_validate(fresh()), PlaceHold.model_validate(fresh())
        with pytest.raises(OutcomeUnknown):
            await (client.send(BOOK, book) if subject == BOOK.many_subject else client.send(PLACE, hold))


@pytest.mark.parametrize("reply", [None, UNKNOWN], ids=["silence", "504"])
async def test_attempts_never_overlap(servers: Servers, reply: bytes | None) -> None:
    """An attempt is sent once the previous one's deadline has passed; three attempts fill the timeout."""
    met: list[tuple[float, float]] = []  # when an attempt came, and its deadline
    async with attempts_of(servers) as (client, messages, clock):
        asked = asyncio.create_task(client.send(BOOK, BookAppointment.model_validate(fresh())))
        for _ in range(3):
            message = await messages.get()
            deadline = clock.at(deadline_of(message))
            met.append((clock.time(), deadline))
            if reply:
                await answer_all(message, reply)
            clock.skip_to(
                deadline - SOON
            )  # an attempt that is sent too early comes before the rest has passed
        clock.skip(PATIENCE)
        with pytest.raises(OutcomeUnknown):
            await asked
        assert messages.empty()
    assert all(later[0] >= earlier[1] for earlier, later in pairwise(met))
    assert all(deadline - received <= PATIENCE / 3 for received, deadline in met)


@pytest.mark.parametrize(
    ("subject", "field"), [(BOOK.many_subject, "idempotencyKey"), (PLACE.many_subject, "holdToken")]
)
async def test_all_attempts_carry_the_generated_key_or_token(
    servers: Servers, subject: str, field: str
) -> None:
    """The client generates a missing key or token once: else a retry would meet its own earlier attempt."""
    met: list[dict[str, Any]] = []
    book, hold = BookAppointment.model_validate(fresh()), PlaceHold.model_validate(fresh())
    async with answering(servers, subject, [None] * 3, met) as client:
        with pytest.raises(OutcomeUnknown):
            await (client.send(BOOK, book) if subject == BOOK.many_subject else client.send(PLACE, hold))
    first, *retries = (item["command"] for item in met)
    assert retries == [first, first]
    assert first[field]


async def test_last_attempt_may_still_succeed(servers: Servers) -> None:
    """After a lost attempt and a retry that met no primary, the last attempt may still succeed."""
    async with answering(servers, BOOK.many_subject, [None, NO_PRIMARY, BOOKED]) as client:
        reply = await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert reply.status == 201


async def test_held_on_the_first_attempt_is_not_retried(servers: Servers) -> None:
    """A first attempt that gets 409 for a held slot is not retried."""
    replies: Replies = [HELD, None]
    async with answering(servers, BOOK.many_subject, replies) as client:
        with pytest.raises(SlotHeld):
            await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert replies == [None]


async def test_no_responders_leave_a_lost_attempt_unknown(
    servers: Servers,
) -> None:
    """Retries without responders do not decide the outcome of the unanswered attempt before them."""
    async with answering(
        servers, BOOK.many_subject, [None, NO_RESPONDERS, NO_RESPONDERS], takes=LONG
    ) as client:
        with pytest.raises(OutcomeUnknown):
            await client.send(BOOK, BookAppointment.model_validate(fresh()))


async def test_attempts_without_responders_use_up_no_attempt(servers: Servers) -> None:
    """However often there are no responders, the attempt that reaches a worker gets its full time."""
    replies: Replies = [*[NO_RESPONDERS] * 4, BOOKED]
    async with answering(servers, BOOK.many_subject, replies, takes=PATIENCE / 8) as client:
        reply = await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert reply.status == 201
    assert not replies


async def test_without_responders_nothing_was_executed(servers: Servers) -> None:
    """If no worker subscribes before the timeout, the caller gets NoResponders: nothing was executed."""
    async with answering(servers, BOOK.many_subject, [NO_RESPONDERS] * 3, takes=LONG) as client:
        with pytest.raises(NoResponders):
            await client.send(BOOK, BookAppointment.model_validate(fresh()))


@pytest.mark.parametrize(
    ("error_type", "refusal"),
    [("SlotHeld", SlotHeld), ("SlotAlreadyBooked", SlotAlreadyBooked), ("UnknownType", Conflict)],
)
async def test_refusal_is_known_by_its_type_not_its_sentence(
    servers: Servers, error_type: str, refusal: type[Refused]
) -> None:
    """A refusal's sentence may change; an unknown `Error-Type` maps to the class of its status."""
    reworded = (
        b'{"status":409,"body":{"error":"Someone was faster"},"headers":{"Error-Type":"%b"}}'
        % error_type.encode()
    )
    async with answering(servers, BOOK.many_subject, [reworded]) as client:
        with pytest.raises(Conflict) as raised:
            await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert (type(raised.value), raised.value.text) == (refusal, "Someone was faster")


async def test_moment_without_workers_is_bridged(servers: Servers) -> None:
    """While the only worker restarts, the client retries after "no responders"."""
    replies: Replies = [NO_RESPONDERS, NO_RESPONDERS, BOOKED]
    async with answering(servers, BOOK.many_subject, replies) as client:
        reply = await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert reply.status == 201
    assert not replies


async def test_missing_primary_is_retried(servers: Servers) -> None:
    """A booking that met no primary is retried: one may be elected in time."""
    async with answering(servers, BOOK.many_subject, [NO_PRIMARY, BOOKED]) as client:
        reply = await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert reply.status == 201


async def test_no_primary_in_time_is_not_executed(servers: Servers) -> None:
    """If no attempt met a primary, nothing was executed; if one attempt is unknown, the outcome is too."""
    command = BookAppointment.model_validate(fresh())
    async with answering(servers, BOOK.many_subject, [NO_PRIMARY] * 3, takes=LONG) as client:
        with pytest.raises(NotExecuted):
            await client.send(BOOK, command)
    async with answering(servers, BOOK.many_subject, [UNKNOWN, NO_PRIMARY, NO_PRIMARY], takes=LONG) as client:
        with pytest.raises(OutcomeUnknown):
            await client.send(BOOK, command)


async def test_overload_is_not_retried(servers: Servers) -> None:
    """A 503 of an overloaded worker is not retried: a retry would add load."""
    replies: Replies = [NOT_EXECUTED, BOOKED]
    async with answering(servers, BOOK.many_subject, replies) as client:
        with pytest.raises(NotExecuted):
            await client.send(BOOK, BookAppointment.model_validate(fresh()))
    assert replies == [BOOKED]


@pytest.mark.parametrize("subject", [BOOK.many_subject, PLACE.many_subject])
async def test_refusal_of_a_retry_is_final(servers: Servers, subject: str) -> None:
    """A worker refuses the retry of a lost attempt only once that attempt can no longer take effect."""
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
async def test_malformed_answer_is_unknown(servers: Servers, reply: bytes) -> None:
    """A malformed answer leaves the outcome unknown, and raises no other exception."""
    async with answering(servers, BOOK.many_subject, [reply] * 3) as client:
        with pytest.raises(OutcomeUnknown):
            await client.send(BOOK, BookAppointment.model_validate(fresh()))


async def test_body_is_parsed_on_access(servers: Servers) -> None:
    """A body is passed on as bytes; reading one that is no booking raises OutcomeUnknown."""
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
