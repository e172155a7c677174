"""The client uses answers that arrive after their attempt's deadline, and retries only what may succeed.

The test takes the worker's place on NATS, and chooses which attempt it answers, and when.
"""

import asyncio
import time
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.msg import Msg

from shared.client import attempts
from shared.client.command_client import CommandClient
from shared.client.requester import Requester
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


def book(client: CommandClient, requester: Requester | None = None) -> asyncio.Task[int]:
    async def status() -> int:
        return (await client.send(BOOK, BookAppointment.model_validate(fresh()), requester=requester)).status

    return asyncio.create_task(status())


async def answer_rest(asked: "asyncio.Future[Any]", met: "asyncio.Queue[Msg]", reply: bytes) -> list[float]:
    """Answer all further attempts alike until the caller has its answer; return when they arrived."""
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
    """A 201 to the first attempt that arrives while the second is in flight is the caller's answer."""
    async with attempts_of(servers) as (client, met):
        asked = book(client)
        first = await met.get()
        await met.get()
        await answer_all(first, BOOKED)
        assert await asked == 201
        assert met.empty(), "there is no third attempt"


async def test_a_late_refusal_does_not_end_the_request(servers: Servers) -> None:
    """A 409 to the first attempt while the second is in flight is not final: the second may still book."""
    async with attempts_of(servers) as (client, met):
        asked = book(client)
        first, second = await met.get(), await met.get()
        await answer_all(first, TAKEN)
        done, _ = await asyncio.wait({asked}, timeout=PATIENCE / 6)
        assert not done
        await answer_all(second, BOOKED)
        assert await asked == 201


async def test_a_late_refusal_makes_the_outcome_known(servers: Servers) -> None:
    """If the first attempt is refused late and the rest were not executed, the caller gets 503."""
    async with attempts_of(servers) as (client, met):
        asked = book(client)
        first, second = await met.get(), await met.get()
        await answer_all(first, TAKEN)
        await answer_all(second, BEING_BOOKED)
        await answer_rest(asked, met, BEING_BOOKED)
        with pytest.raises(BeingBooked):
            await asked


async def test_without_the_late_refusal_the_outcome_is_unknown(servers: Servers) -> None:
    """Control: if the first attempt is never answered, the caller gets 504."""
    async with attempts_of(servers) as (client, met):
        asked = book(client)
        await met.get()
        await answer_rest(asked, met, BEING_BOOKED)
        with pytest.raises(OutcomeUnknown):
            await asked


async def test_a_refusal_at_the_last_deadline_is_the_answer(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 503 that arrives as the last attempt's deadline passes is the answer, not an unknown outcome."""
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
    """A 404 counts as success only on the retry of a release, not on its first attempt."""
    async with attempts_of(servers, subject=RELEASE.subject) as (client, met):
        asking = asyncio.create_task(client.send(RELEASE, ReleaseHold(holdToken=str(uuid4()))))
        first, _ = await met.get(), await met.get()
        no_such_hold = b'{"status":404,"body":{"error":"No such hold"}}'
        await first._client.publish(first.reply, no_such_hold, headers={"Error-Type": "NoSuchHold"})
        with pytest.raises(OutcomeUnknown):
            await asking


async def test_asked_earlier_ends_the_request_at_once(servers: Servers) -> None:
    """AskedEarlier ends the request at once: no attempt was executed, for a later request was answered."""
    async with attempts_of(servers) as (client, met):
        asked = book(client)
        await met.get()
        await answer_all(await met.get(), refusal(AskedEarlier()))
        with pytest.raises(AskedEarlier):
            await asked
        assert met.empty(), "there is no third attempt"


async def test_an_overloaded_refusal_is_not_retried(servers: Servers) -> None:
    """Overloaded is not retried: 300 callers who get it have sent 300 attempts."""
    async with attempts_of(servers, patience=30) as (client, met):
        asked = [book(client) for _ in range(300)]
        waiting = asyncio.gather(*asked, return_exceptions=True)
        await answer_rest(waiting, met, OVERLOADED)
        assert {type(outcome) for outcome in await waiting} == {Overloaded}
        assert sum(client.statistics.attempts.values()) == 300


async def test_retries_of_a_repeatable_refusal_back_off(servers: Servers) -> None:
    """A repeatable 503 is retried with a growing, random backoff."""
    async with attempts_of(servers) as (client, met):
        asked = book(client)
        moments = await answer_rest(asked, met, BEING_BOOKED)
        with pytest.raises(NotExecuted):
            await asked
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert len(pauses) >= 3
    assert pauses[0] >= 0.05
    assert pauses[2] >= 0.2


async def test_no_retry_is_sent_for_a_caller_who_has_left(servers: Servers) -> None:
    """The client retries only while its caller is connected."""

    class Leaving:
        request_id, caller, looks = "0f3a99b1", None, 0

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
