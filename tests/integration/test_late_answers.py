"""What the client makes of answers that come after the deadline of their attempt, and when it repeats at all.

The test takes the worker's place on NATS, and answers which attempt it likes when it likes.
"""

import asyncio
import time
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.msg import Msg

from shared.client import attempts
from shared.client.caller import Caller
from shared.client.command_client import CommandClient
from shared.contract.commands import BookAppointment, ReleaseHold
from shared.contract.errors import (
    AskedEarlier,
    BeingBooked,
    NotExecuted,
    OutcomeUnknown,
    Overloaded,
    SlotAlreadyBooked,
)
from shared.contract.operations import BOOK, RELEASE
from tests.integration.stand_in import BOOKED, PATIENCE, answer_all, attempts_of, refusal
from tests.servers import Servers
from tests.slots import fresh

TAKEN, BEING_BOOKED, OVERLOADED = map(refusal, (SlotAlreadyBooked(), BeingBooked(), Overloaded()))


def book(client: CommandClient, caller: Caller | None = None) -> asyncio.Task[int]:
    async def status() -> int:
        return (await client.send(BOOK, BookAppointment.model_validate(fresh()), caller=caller)).status

    return asyncio.create_task(status())


async def answer_rest(asked: "asyncio.Future[Any]", met: "asyncio.Queue[Msg]", reply: bytes) -> list[float]:
    """Answer all attempts that still come alike, until the caller is answered; when they came."""
    moments: list[float] = []
    while not asked.done():
        message = asyncio.create_task(met.get())
        await asyncio.wait({message, asked}, return_when=asyncio.FIRST_COMPLETED)
        if message.done():
            moments.append(time.monotonic())
            await answer_all(message.result(), reply)
        message.cancel()
    return moments


async def test_a_late_success_ends_the_request(servers: Servers) -> None:
    """A 201 of the first attempt that comes while the second is under way is the answer."""
    async with attempts_of(servers) as (client, met):
        asked = book(client)
        first = await met.get()
        await met.get()
        await answer_all(first, BOOKED)
        assert await asked == 201
        assert met.empty(), "there is no third attempt"


async def test_a_late_refusal_does_not_end_the_request(servers: Servers) -> None:
    """A 409 of the first attempt that comes while the second is under way is not final: that one may book."""
    async with attempts_of(servers) as (client, met):
        asked = book(client)
        first, second = await met.get(), await met.get()
        await answer_all(first, TAKEN)
        done, _ = await asyncio.wait({asked}, timeout=PATIENCE / 6)
        assert not done
        await answer_all(second, BOOKED)
        assert await asked == 201


async def test_a_late_refusal_makes_its_attempt_known(servers: Servers) -> None:
    """If the first attempt was refused late and the others were not executed, nothing was done: 503."""
    async with attempts_of(servers) as (client, met):
        asked = book(client)
        first, second = await met.get(), await met.get()
        await answer_all(first, TAKEN)
        await answer_all(second, BEING_BOOKED)
        await answer_rest(asked, met, BEING_BOOKED)
        with pytest.raises(BeingBooked):
            await asked


async def test_without_that_answer_it_is_unknown(servers: Servers) -> None:
    """Control: if the first attempt was not answered at all, the same is 504."""
    async with attempts_of(servers) as (client, met):
        asked = book(client)
        await met.get()
        await answer_rest(asked, met, BEING_BOOKED)
        with pytest.raises(OutcomeUnknown):
            await asked


async def test_a_refusal_at_the_last_deadline_is_heard(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 503 that comes when the last attempt's deadline passes is the answer, not an unknown outcome."""
    monkeypatch.setattr(attempts, "ANSWER_SHARE", 0.2)  # time enough for the answer on a busy machine
    async with attempts_of(servers) as (client, met):
        asked = book(client)
        started = time.monotonic()
        messages = [await met.get() for _ in range(3)]
        for message in messages[:2]:
            await answer_all(message, BEING_BOOKED)
        await asyncio.sleep(started + PATIENCE * 0.85 - time.monotonic())
        await answer_all(messages[2], BEING_BOOKED)
        with pytest.raises(BeingBooked):
            await asked


async def test_a_late_404_of_a_release_is_no_success(servers: Servers) -> None:
    """Only the repeat of a release takes a 404 for done: the first attempt of it released nothing."""
    async with attempts_of(servers, subject=RELEASE.subject) as (client, met):
        asking = asyncio.create_task(client.send(RELEASE, ReleaseHold(holdToken=str(uuid4()))))
        first, _ = await met.get(), await met.get()
        said = b'{"status":404,"body":{"error":"No such hold"}}'
        await first._client.publish(first.reply, said, headers={"Error-Type": "NoSuchHold"})
        with pytest.raises(OutcomeUnknown):
            await asking


async def test_asked_earlier_tells_of_all_attempts(servers: Servers) -> None:
    """Where a later request was answered, no attempt was executed: it ends at once, and is known."""
    async with attempts_of(servers) as (client, met):
        asked = book(client)
        await met.get()
        await answer_all(await met.get(), refusal(AskedEarlier()))
        with pytest.raises(AskedEarlier):
            await asked
        assert met.empty(), "there is no third attempt"


async def test_what_is_turned_away_is_sent_once(servers: Servers) -> None:
    """Attempts do not multiply under overload: 300 callers that are told so have sent 300 attempts."""
    async with attempts_of(servers, patience=30) as (client, met):
        asked = [book(client) for _ in range(300)]
        waiting = asyncio.gather(*asked, return_exceptions=True)
        await answer_rest(waiting, met, OVERLOADED)
        assert {type(each) for each in await waiting} == {Overloaded}
        assert sum(client.statistics.attempts.values()) == 300


async def test_repeats_of_a_repeatable_refusal_come_ever_later(servers: Servers) -> None:
    """A 503 that another attempt may get past is repeated with a growing, random pause."""
    async with attempts_of(servers) as (client, met):
        asked = book(client)
        moments = await answer_rest(asked, met, BEING_BOOKED)
        with pytest.raises(NotExecuted):
            await asked
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert len(pauses) >= 3
    assert pauses[0] >= 0.05
    assert pauses[2] >= 0.2


async def test_nothing_is_repeated_for_a_caller_who_has_left(servers: Servers) -> None:
    """Before a repeat the client asks whether its caller is still there."""

    class Leaving:
        request_id, looks = "0f3a99b1", 0

        async def has_left(self) -> bool:
            self.looks += 1
            return self.looks == 2

    async with attempts_of(servers) as (client, met):
        asked = book(client, Leaving())
        for _ in range(2):
            await met.get()
        with pytest.raises(OutcomeUnknown):
            await asked
        assert met.empty()
