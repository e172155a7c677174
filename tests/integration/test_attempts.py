"""The client counts its attempts by outcome, and retries many callers at once."""

import asyncio
import gc
import weakref

import pytest
from nats.aio.msg import Msg

from shared.client import attempts
from shared.client.command_client import CommandClient
from shared.contract.commands import BookAppointment
from shared.contract.errors import BeingBooked, Overloaded, Refused, SlotHeld, TooManyBookings
from shared.contract.operations import BOOK
from tests.integration.stand_in import (
    BOOKED,
    NO_RESPONDERS,
    Replies,
    answer_all,
    answering,
    attempts_of,
    deadline_of,
    items_of,
    refusal,
)
from tests.servers import Servers
from tests.slots import fresh

CALLERS = 300


def counted(client: CommandClient) -> dict[str, int]:
    """Return the number of attempts to book, by outcome."""
    return {outcome: count for (_, outcome), count in client.statistics.attempts.items()}


async def book(client: CommandClient) -> str:
    """Book; return the name of the refusal, or an empty string."""
    try:
        await client.send(BOOK, BookAppointment.model_validate(fresh()))
    except Refused as refused:
        return type(refused).__name__
    return ""


@pytest.mark.parametrize(
    ("replies", "counts"),
    [
        pytest.param([BOOKED], {"answered": 1}, id="booked"),
        pytest.param([refusal(SlotHeld())], {"answered": 1}, id="refused"),
        pytest.param([refusal(Overloaded())], {"not_executed": 1}, id="overloaded"),
        pytest.param([refusal(BeingBooked()), BOOKED], {"not_executed": 1, "answered": 1}, id="retried"),
        pytest.param([NO_RESPONDERS, BOOKED], {"no_responders": 1, "answered": 1}, id="no responders"),
        pytest.param([b"1", BOOKED], {"unknown": 1, "answered": 1}, id="malformed answer"),
        pytest.param([None, BOOKED], {"unknown": 1, "answered": 1}, id="silence"),
        pytest.param([None, None, None], {"unknown": 3}, id="only silence"),
    ],
)
async def test_attempt_is_counted_once_by_its_outcome(
    servers: Servers, replies: Replies, counts: dict[str, int]
) -> None:
    """Every attempt, the first one or a retry, is counted once by its outcome."""
    async with answering(servers, BOOK.many_subject, replies) as client:
        await book(client)
        assert counted(client) == counts
    assert not replies


async def test_refusal_leaves_nothing_for_the_garbage_collector(servers: Servers) -> None:
    """A refusal is freed with its last reference: in a rush for one slot, nearly every request has one."""
    async with answering(servers, BOOK.many_subject, [refusal(SlotHeld())]) as client:
        gc.disable()
        try:
            try:
                await client.send(BOOK, BookAppointment.model_validate(fresh()))
            except SlotHeld as refused:
                left = weakref.ref(refused)
            assert left() is None
        finally:
            gc.enable()


@pytest.mark.parametrize(
    ("replies", "is_final", "outcome"),
    [
        pytest.param([refusal(TooManyBookings())], False, "TooManyBookings", id="alone"),
        pytest.param([None, refusal(TooManyBookings())], False, "OutcomeUnknown", id="after silence"),
        pytest.param([None, refusal(TooManyBookings())], True, "TooManyBookings", id="control"),
    ],
)
async def test_refusal_by_a_cap_settles_its_own_attempt_alone(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, replies: Replies, is_final: bool, outcome: str
) -> None:
    """A 429 is not retried, and is no outcome of an earlier attempt, which may still book.

    Control: if it were final as a 409 is, a refused caller could be booked later.
    """
    if is_final:
        monkeypatch.setattr(attempts, "TooMany", SlotHeld)
    async with answering(servers, BOOK.many_subject, replies) as client:
        assert await book(client) == outcome
    assert not replies


async def test_caller_that_gives_up_cancels_one_attempt(servers: Servers) -> None:
    """A first attempt counts as cancelled if its caller gives up before the deadline."""
    async with attempts_of(servers) as (client, met, _):
        asked = asyncio.create_task(book(client))
        await met.get()
        asked.cancel()
        await asyncio.wait({asked})
        assert counted(client) == {"cancelled": 1}


async def test_all_callers_without_an_answer_are_retried(servers: Servers) -> None:
    """If many first attempts pass their deadlines together, each caller's command is retried."""
    async with attempts_of(servers) as (client, met, clock):
        asked = asyncio.gather(*(book(client) for _ in range(CALLERS)))
        silent: list[str] = []
        while len(silent) < CALLERS:
            message = await met.get()
            silent += keys(message)
        clock.skip_to(clock.at(deadline_of(message)))
        retried: list[str] = []
        while not set(silent) <= set(retried):
            message = await met.get()
            retried += keys(message)
            await answer_all(message, BOOKED)
        assert await asked == [""] * CALLERS
        assert counted(client)["answered"] == CALLERS


def keys(message: Msg) -> list[str]:
    return [item["command"]["idempotencyKey"] for item in items_of(message)]
