"""Many commands in one message: a way to travel, of which no caller notices anything but speed."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import nats
import pytest
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.client import batches
from shared.client.batches import MOST_COMMANDS, MOST_UNDER_WAY, Batches
from shared.client.command_client import CommandClient
from shared.client.statistics import Statistics
from shared.contract.commands import BookAppointment
from shared.contract.envelope import Envelope
from shared.contract.errors import NoResponders, NotExecuted, OutcomeUnknown, Refused
from shared.contract.operations import BOOK
from shared.contract.parsing import LARGEST_REQUEST
from shared.process import nats_wire
from tests.integration.stand_in import BOOKED, answer_all, answer_each, items_of, say_that_nobody_is_there
from tests.servers import Servers
from tests.slots import fresh

LONG = 60.0
UNKNOWN = b'{"status":504,"body":{"error":"Not known","outcome":"unknown"}}'
OVERLOADED = b'{"status":503,"body":{"error":"Too many requests","outcome":"not_executed"}}'


@dataclass
class Worker:
    """The test in the place of a worker: it answers what it has met when it likes."""

    url: str
    theirs: Client
    ours: Client
    batches: Batches
    met: asyncio.Queue[Msg] = field(default_factory=asyncio.Queue)

    def ask(self, number: int, seconds: float = LONG) -> asyncio.Task[Envelope]:
        """Ask for something by number, as one of many callers."""
        return asyncio.create_task(self.answer(b"%d" % number, seconds))

    async def answer(self, command: bytes, seconds: float = LONG) -> Envelope:
        """The answer to a command, or its refusal as an exception."""
        answer = await self.batches.send(command, seconds, 0, listen=seconds).answer
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def next(self) -> Msg:
        """The next message that comes."""
        return await self.met.get()

    async def nothing_more(self) -> None:
        """Make sure that no message is on its way."""
        await nats_wire.round_trip(self.ours)
        await nats_wire.round_trip(self.theirs)
        assert self.met.empty()

    async def keep_all_busy(self) -> list[asyncio.Task[Envelope]]:
        """As many messages as may be under way, of one command each, none of which is answered."""
        tasks = []
        for number in range(MOST_UNDER_WAY):
            tasks.append(self.ask(-1 - number))
            await asyncio.sleep(0)  # it begins to ask
            await asyncio.sleep(0)  # its message leaves
        return tasks


@pytest.fixture
async def worker(servers: Servers) -> AsyncIterator[Worker]:
    with servers.new_stack() as stack:
        url = stack.env["NATS_URL"]
        async with await nats.connect(url) as theirs, await nats.connect(url) as ours:
            worker = Worker(url, theirs, ours, Batches(ours, BOOK.many_subject, Statistics()))
            await theirs.subscribe(BOOK.many_subject, cb=worker.met.put)
            await nats_wire.round_trip(theirs)
            yield worker


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that are not answered keep others waiting for as long as they like."""
    monkeypatch.setattr(batches, "SLOW_SECONDS", LONG)


def numbers(message: Msg) -> list[int]:
    return [item["command"] for item in items_of(message)]


async def echo(message: Msg) -> None:
    """Answer each command with itself."""
    reply = b'{"status":201,"body":{"number":%d},"headers":{}}'
    await answer_each(message, *(reply % number for number in numbers(message)))


def echoed(envelope: Envelope) -> int:
    number: int = envelope[0]["body"]["number"]
    return number


async def test_a_lone_command_leaves_at_once(worker: Worker) -> None:
    """Nobody is waited for: a command that finds nothing under way is a message by itself."""
    for number in range(3):
        asked = worker.ask(number)
        message = await worker.next()
        assert numbers(message) == [number]
        await echo(message)
        assert echoed(await asked) == number


async def test_each_caller_gets_its_own_answer(worker: Worker) -> None:
    """What is asked for at once travels together, at most 128 a message; answers come in the same order."""
    asked = [worker.ask(number) for number in range(300)]
    messages = [await worker.next() for _ in range(3)]
    assert [len(items_of(message)) for message in messages] == [MOST_COMMANDS, MOST_COMMANDS, 44]
    for message in reversed(messages):
        await echo(message)
    assert [echoed(envelope) for envelope in await asyncio.gather(*asked)] == list(range(300))


@pytest.mark.usefixtures("patient")
async def test_what_waits_leaves_together(worker: Worker) -> None:
    """While so many messages are under way, commands gather; with the first answer they leave in one."""
    busy = await worker.keep_all_busy()
    messages = [await worker.next() for _ in busy]
    asked = [worker.ask(number) for number in range(10)]
    await worker.nothing_more()
    await echo(messages[1])
    together = await worker.next()
    assert numbers(together) == list(range(10))
    await echo(together)
    assert [echoed(envelope) for envelope in await asyncio.gather(*asked)] == list(range(10))
    assert [task.done() for task in busy] == [message is messages[1] for message in messages]
    for message in (messages[0], *messages[2:]):
        await echo(message)
    await asyncio.gather(*busy)


async def test_who_is_slow_to_be_answered_does_not_hold_up_others(worker: Worker) -> None:
    """However many messages are not answered, a command that comes after them is sent, and answered."""
    busy = await worker.keep_all_busy()
    messages = [await worker.next() for _ in busy]
    asked = worker.ask(1)
    message = await worker.next()
    await echo(message)
    assert echoed(await asked) == 1
    assert not any(task.done() for task in busy)
    for each in messages:
        await echo(each)
    await asyncio.gather(*busy)


async def test_each_command_has_its_own_deadline(worker: Worker) -> None:
    """Of two in one message each says its own, and the one whose caller gives up disturbs nobody."""
    hasty, other = worker.ask(1, seconds=0.1), worker.ask(2)
    message = await worker.next()
    deadlines = [item["deadline"] for item in items_of(message)]
    assert deadlines[1] - deadlines[0] == pytest.approx((LONG - 0.1) * 1000, abs=1000)
    hasty.cancel()
    await echo(message)
    assert echoed(await other) == 2


@pytest.mark.usefixtures("patient")
async def test_a_command_that_was_not_sent_in_its_time_was_not_executed(worker: Worker) -> None:
    """A caller whose time passes before there is room for another message knows that nothing was done."""
    busy = await worker.keep_all_busy()
    messages = [await worker.next() for _ in busy]
    with pytest.raises(NotExecuted):
        await worker.ask(1, seconds=0.05)
    for message in messages:
        await echo(message)
    await asyncio.gather(*busy)
    await worker.nothing_more()


async def test_a_caller_who_goes_disturbs_nobody(worker: Worker) -> None:
    """Of three in one message one is cancelled: the others get their own answers."""
    asked = [worker.ask(number) for number in range(3)]
    message = await worker.next()
    asked[1].cancel()
    await echo(message)
    assert [echoed(await asked[0]), echoed(await asked[2])] == [0, 2]
    assert asked[1].cancelled()


@pytest.mark.usefixtures("patient")
async def test_a_caller_who_goes_before_is_not_sent(worker: Worker) -> None:
    """A command that is cancelled while it waits does not travel."""
    busy = await worker.keep_all_busy()
    messages = [await worker.next() for _ in busy]
    asked = [worker.ask(number) for number in range(3)]
    await asyncio.sleep(0)
    asked[0].cancel()
    for message in messages:
        await echo(message)
    message = await worker.next()
    assert numbers(message) == [1, 2]
    await echo(message)
    assert [echoed(await asked[1]), echoed(await asked[2])] == [1, 2]
    await asyncio.gather(*busy)


async def nothing(_message: Msg) -> None:
    """The answer is lost."""


def says(answer: bytes) -> Callable[[Msg], Awaitable[None]]:
    async def say(message: Msg) -> None:
        await message.respond(answer)

    return say


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        pytest.param(nothing, OutcomeUnknown, id="lost"),
        pytest.param(say_that_nobody_is_there, NoResponders, id="nobody there"),
        pytest.param(says(b'{"replies":[%b]}' % BOOKED), OutcomeUnknown, id="too few"),
        pytest.param(says(b'{"replies":[%b]}' % b",".join([BOOKED] * 4)), OutcomeUnknown, id="too many"),
        pytest.param(says(b'{"replies":7}'), OutcomeUnknown, id="none"),
        pytest.param(says(b'{"replies":[1,2,3]}'), OutcomeUnknown, id="no replies"),
        pytest.param(says(b"[]"), OutcomeUnknown, id="no answer"),
        pytest.param(says(b"hello"), OutcomeUnknown, id="no JSON"),
        pytest.param(says(BOOKED), OutcomeUnknown, id="one for all"),
    ],
)
async def test_what_becomes_of_a_message_becomes_of_each_of_its_commands(
    worker: Worker, answer: Callable[[Msg], Awaitable[None]], refusal: type[Refused]
) -> None:
    """An answer that is lost, or does not account for all, tells of none; each caller hears it."""
    asked = [worker.ask(number, seconds=0.3) for number in range(3)]
    message = await worker.next()
    assert len(items_of(message)) == 3
    await answer(message)
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {refusal}
    assert len({id(outcome) for outcome in outcomes}) == 3


async def test_a_message_that_is_turned_away_was_not_executed(worker: Worker) -> None:
    """A worker that has no room refuses a message as a whole: nothing was done for any of its callers."""
    async with CommandClient(worker.url) as client:
        asked = [asyncio.create_task(client.send(BOOK, BookAppointment(**fresh()))) for _ in range(3)]
        await (await worker.next()).respond(OVERLOADED)
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotExecuted] * 3


async def test_a_message_has_a_largest_size(worker: Worker) -> None:
    """Large commands fill fewer than 128 to a message, so that NATS takes it, and its answers."""
    command = json.dumps("x" * (LARGEST_REQUEST - 2)).encode()
    asked = [asyncio.create_task(worker.answer(command)) for _ in range(MOST_COMMANDS)]
    answered = 0
    while answered < MOST_COMMANDS:
        message = await worker.next()
        assert len(message.data) <= 2**20 // 2 + 100
        answered += len(items_of(message))
        await answer_all(message, BOOKED)
    assert len(await asyncio.gather(*asked)) == MOST_COMMANDS


async def test_each_command_carries_the_id_of_its_request(worker: Worker) -> None:
    """The id that a caller has bound for its logs goes with its command, not with its neighbours'."""
    async with CommandClient(worker.url) as client:

        async def book(request_id: str) -> None:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                await client.send(BOOK, BookAppointment(**fresh()))

        asked = [asyncio.create_task(book(f"feedface{number}")) for number in range(3)]
        message = await worker.next()
        assert [item["requestId"] for item in items_of(message)] == ["feedface0", "feedface1", "feedface2"]
        await answer_all(message, BOOKED)
        await asyncio.gather(*asked)


async def test_each_command_is_repeated_by_itself(worker: Worker) -> None:
    """Of two in one message one is not known: it is sent again, alone and the same, and the other is done."""
    async with CommandClient(worker.url, timeout=0.6) as client:
        asked = [asyncio.create_task(client.send(BOOK, BookAppointment(**fresh()))) for _ in range(2)]
        first = await worker.next()
        await answer_each(first, BOOKED, UNKNOWN)
        assert (await asked[0]).status == 201
        second = await worker.next()
        assert commands(second) == commands(first)[1:]
        await answer_all(second, BOOKED)
        assert (await asked[1]).status == 201


def commands(message: Msg) -> list[Any]:
    return [item["command"] for item in items_of(message)]
