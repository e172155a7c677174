"""The client uses answers that arrive after their attempt's deadline, and retries only what may succeed.

The test takes the worker's place on NATS, and chooses which attempt it answers, and when.
"""

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.msg import Msg

from shared.client.attempts import attempt_seconds
from shared.client.command_client import CommandClient
from shared.client.requester import Requester
from shared.contract.commands import BookAppointment, ReleaseHold
from shared.contract.errors import (
    AskedEarlier,
    BeingBooked,
    OutcomeUnknown,
    Overloaded,
    SlotAlreadyBooked,
)
from shared.contract.operations import BOOK, RELEASE
from tests.integration.loop_clock import LoopClock
from tests.integration.stand_in import (
    BOOKED,
    PATIENCE,
    answer_all,
    answering,
    attempts_of,
    deadline_of,
    outcomes_since,
    refusal,
)
from tests.servers import Servers
from tests.slots import fresh

TAKEN, BEING_BOOKED, OVERLOADED = map(refusal, (SlotAlreadyBooked(), BeingBooked(), Overloaded()))


def book(client: CommandClient, requester: Requester | None = None) -> asyncio.Task[int]:
    async def status() -> int:
        return (await client.send(BOOK, BookAppointment.model_validate(fresh()), requester=requester)).status

    return asyncio.create_task(status())


async def answer_rest(
    asked: "asyncio.Future[Any]", met: "asyncio.Queue[Msg]", reply: bytes, clock: LoopClock, takes: float = 0
) -> list[float]:
    """Answer all further attempts alike until the caller has its answer; return when they arrived.

    `takes`: the seconds that pass before each answer.
    """
    moments: list[float] = []
    while not asked.done():
        message = asyncio.create_task(met.get())
        await asyncio.wait({message, asked}, return_when=asyncio.FIRST_COMPLETED)
        if message.done():
            moments.append(clock.time())
            clock.skip(takes)
            await answer_all(message.result(), reply)
        message.cancel()
    return moments


async def silence(met: "asyncio.Queue[Msg]", clock: LoopClock) -> Msg:
    """Receive an attempt, and let its deadline pass without an answer."""
    message = await met.get()
    clock.skip_to(clock.at(deadline_of(message)))
    return message


async def test_a_late_success_ends_the_request(servers: Servers) -> None:
    """A 201 to the first attempt that arrives while the second is in flight is the caller's answer."""
    async with attempts_of(servers) as (client, met, clock):
        asked = book(client)
        first = await silence(met, clock)
        await met.get()
        await answer_all(first, BOOKED)
        assert await asked == 201
        assert met.empty(), "there is no third attempt"


async def test_a_late_refusal_does_not_end_the_request(servers: Servers) -> None:
    """A 409 to the first attempt while the second is in flight is not final: the second may still book."""
    async with attempts_of(servers) as (client, met, clock):
        asked = book(client)
        first, second = await silence(met, clock), await met.get()
        await answer_all(first, TAKEN)
        done, _ = await asyncio.wait({asked}, timeout=0.2)
        assert not done
        await answer_all(second, BOOKED)
        assert await asked == 201


async def test_a_late_refusal_makes_the_outcome_known(servers: Servers) -> None:
    """If the first attempt is refused late and the rest were not executed, the caller gets 503."""
    async with attempts_of(servers) as (client, met, clock):
        asked = book(client)
        first, second = await silence(met, clock), await met.get()
        await answer_all(first, TAKEN)
        await answer_all(second, BEING_BOOKED)
        await answer_rest(asked, met, BEING_BOOKED, clock, takes=PATIENCE / 4)
        with pytest.raises(BeingBooked):
            await asked


async def test_without_the_late_refusal_the_outcome_is_unknown(servers: Servers) -> None:
    """Control: if the first attempt is never answered, the caller gets 504."""
    async with answering(servers, BOOK.many_subject, [None, BEING_BOOKED, BEING_BOOKED]) as client:
        with pytest.raises(OutcomeUnknown):
            await book(client)


async def test_a_refusal_at_the_last_deadline_is_the_answer(servers: Servers) -> None:
    """A 503 that arrives as the last attempt's deadline passes is the answer, not an unknown outcome."""
    async with attempts_of(servers) as (client, met, clock):
        asked, takes = book(client), 0.8 * attempt_seconds(PATIENCE)
        for _ in range(2):
            message = await met.get()
            clock.skip(takes)
            await answer_all(message, BEING_BOOKED)
        await answer_all(await silence(met, clock), BEING_BOOKED)
        with pytest.raises(BeingBooked):
            await asked


async def test_a_late_404_of_a_release_is_no_success(servers: Servers) -> None:
    """A 404 counts as success only on the retry of a release, not on its first attempt."""
    async with attempts_of(servers, subject=RELEASE.subject) as (client, met, clock):
        asking = asyncio.create_task(client.send(RELEASE, ReleaseHold(holdToken=str(uuid4()))))
        first, _ = await silence(met, clock), await met.get()
        no_such_hold = b'{"status":404,"body":{"error":"No such hold"}}'
        await first._client.publish(first.reply, no_such_hold, headers={"Error-Type": "NoSuchHold"})
        await outcomes_since(client, Counter())
        clock.skip(PATIENCE)
        with pytest.raises(OutcomeUnknown):
            await asking


async def test_asked_earlier_ends_the_request_at_once(servers: Servers) -> None:
    """AskedEarlier ends the request at once: no attempt was executed, for a later request was answered."""
    async with attempts_of(servers) as (client, met, clock):
        asked = book(client)
        await silence(met, clock)
        await answer_all(await met.get(), refusal(AskedEarlier()))
        with pytest.raises(AskedEarlier):
            await asked
        assert met.empty(), "there is no third attempt"


async def test_an_overloaded_refusal_is_not_retried(servers: Servers) -> None:
    """Overloaded is not retried: 300 callers who get it have sent 300 attempts."""
    async with attempts_of(servers) as (client, met, clock):
        asked = [book(client) for _ in range(300)]
        waiting = asyncio.gather(*asked, return_exceptions=True)
        await answer_rest(waiting, met, OVERLOADED, clock)
        assert {type(outcome) for outcome in await waiting} == {Overloaded}
        assert sum(client.statistics.attempts.values()) == 300


async def test_retries_of_a_repeatable_refusal_back_off(servers: Servers) -> None:
    """A repeatable 503 is retried with a growing, random backoff."""
    async with attempts_of(servers) as (client, met, clock):
        asked = book(client)
        moments: list[float] = []
        for _ in range(4):
            message = await met.get()
            moments.append(clock.time())
            await answer_all(message, BEING_BOOKED)
        asked.cancel()
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert pauses[0] >= 0.05
    assert pauses[2] >= 0.2


async def test_no_retry_is_sent_for_a_caller_who_has_left(servers: Servers) -> None:
    """The client retries only while its caller is connected."""

    class Leaving:
        request_id, caller, looks = "0f3a99b1", None, 0

        async def has_left(self) -> bool:
            self.looks += 1
            return self.looks == 2

    async with attempts_of(servers) as (client, met, clock):
        asked = book(client, Leaving())
        for _ in range(2):
            await silence(met, clock)
        with pytest.raises(OutcomeUnknown):
            await asked
        assert met.empty()
