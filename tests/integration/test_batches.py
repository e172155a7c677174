"""The client sends many commands in one batch; every caller still gets its own answer."""

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

from shared.client import transport
from shared.client.command_client import CommandClient
from shared.client.statistics import Statistics
from shared.client.transport import MOST_COMMANDS, MOST_IN_FLIGHT, Batches
from shared.contract.commands import BookAppointment
from shared.contract.envelope import Envelope
from shared.contract.errors import NoResponders, NotExecuted, OutcomeUnknown, Refused
from shared.contract.operations import BOOK
from shared.contract.parsing import LARGEST_REQUEST
from shared.process import nats_wire
from tests.integration.loop_clock import skipping
from tests.integration.stand_in import (
    BOOKED,
    PATIENCE,
    answer_all,
    answer_in_order,
    answer_no_responders,
    deadline_of,
    items_of,
)
from tests.servers import Servers
from tests.slots import fresh

LONG = 60.0
UNKNOWN = b'{"status":504,"body":{"error":"Not known","outcome":"unknown"}}'
OVERLOADED = b'{"status":503,"body":{"error":"Too many requests","outcome":"not_executed"}}'


@dataclass
class Worker:
    """The test in the place of a worker: it answers batches when it wants to."""

    url: str
    theirs: Client
    ours: Client
    batches: Batches
    met: asyncio.Queue[Msg] = field(default_factory=asyncio.Queue)

    def ask(self, number: int, seconds: float = LONG) -> asyncio.Task[Envelope]:
        """Send a numbered command as one of many callers."""
        return asyncio.create_task(self.answer(b"%d" % number, seconds))

    async def answer(self, command: bytes, seconds: float = LONG) -> Envelope:
        """Send a command and return its answer; raise a refusal."""
        answer = await self.batches.send(command, seconds, 0, listen=seconds).answer
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def next(self) -> Msg:
        """Return the next batch."""
        return await self.met.get()

    async def nothing_more(self) -> None:
        """Check that no batch is on its way."""
        await nats_wire.round_trip(self.ours)
        await nats_wire.round_trip(self.theirs)
        assert self.met.empty()

    async def keep_all_busy(self) -> list[asyncio.Task[Envelope]]:
        """Send as many batches of one command as may be in flight at once."""
        tasks = []
        for number in range(MOST_IN_FLIGHT):
            tasks.append(self.ask(-1 - number))
            await asyncio.sleep(0)  # the task starts
            await asyncio.sleep(0)  # its batch leaves
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
    """Let an unanswered batch block further batches for as long as it takes."""
    monkeypatch.setattr(transport, "SLOW_SECONDS", LONG)


def numbers(message: Msg) -> list[int]:
    return [item["command"] for item in items_of(message)]


async def echo(message: Msg) -> None:
    """Answer each command with itself."""
    reply = b'{"status":201,"body":{"number":%d},"headers":{}}'
    await answer_in_order(message, *(reply % number for number in numbers(message)))


def echoed(envelope: Envelope) -> int:
    number: int = envelope[0]["body"]["number"]
    return number


async def test_lone_command_leaves_at_once(worker: Worker) -> None:
    """A command leaves at once, in a batch by itself, if no batch is in flight."""
    for number in range(3):
        asked = worker.ask(number)
        message = await worker.next()
        assert numbers(message) == [number]
        await echo(message)
        assert echoed(await asked) == number


async def test_every_caller_gets_its_own_answer(worker: Worker) -> None:
    """Simultaneous commands travel in batches of at most 128; replies keep the order of commands."""
    asked = [worker.ask(number) for number in range(300)]
    messages = [await worker.next() for _ in range(3)]
    assert [len(items_of(message)) for message in messages] == [MOST_COMMANDS, MOST_COMMANDS, 44]
    for message in reversed(messages):
        await echo(message)
    assert [echoed(envelope) for envelope in await asyncio.gather(*asked)] == list(range(300))


@pytest.mark.usefixtures("patient")
async def test_waiting_commands_leave_in_one_batch(worker: Worker) -> None:
    """At the limit of batches in flight, commands gather; they leave in one batch after the first answer."""
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


async def test_unanswered_batches_do_not_block_a_new_command(worker: Worker) -> None:
    """However many batches are unanswered, a later command is sent and answered."""
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


async def test_commands_of_one_batch_have_their_own_deadlines(worker: Worker) -> None:
    """Commands of one batch carry their own deadlines; a cancelled caller does not affect its neighbour."""
    hasty, other = worker.ask(1, seconds=0.1), worker.ask(2)
    message = await worker.next()
    deadlines = [item["deadline"] for item in items_of(message)]
    assert deadlines[1] - deadlines[0] == pytest.approx((LONG - 0.1) * 1000, abs=1000)
    hasty.cancel()
    await echo(message)
    assert echoed(await other) == 2


@pytest.mark.usefixtures("patient")
async def test_command_that_waited_past_its_deadline_is_not_executed(worker: Worker) -> None:
    """A command whose deadline passes before a batch may leave is not sent: not executed."""
    busy = await worker.keep_all_busy()
    messages = [await worker.next() for _ in busy]
    with pytest.raises(NotExecuted):
        await worker.ask(1, seconds=0.05)
    for message in messages:
        await echo(message)
    await asyncio.gather(*busy)
    await worker.nothing_more()


async def test_cancelled_caller_does_not_affect_its_batch(worker: Worker) -> None:
    """If one of three callers in a batch is cancelled, the other two get their own answers."""
    asked = [worker.ask(number) for number in range(3)]
    message = await worker.next()
    asked[1].cancel()
    await echo(message)
    assert [echoed(await asked[0]), echoed(await asked[2])] == [0, 2]
    assert asked[1].cancelled()


@pytest.mark.usefixtures("patient")
async def test_command_cancelled_while_it_waits_is_not_sent(worker: Worker) -> None:
    """A command that is cancelled before its batch leaves is not sent."""
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
    """Send no answer."""


def reply_with(answer: bytes) -> Callable[[Msg], Awaitable[None]]:
    """Return a handler that answers a batch with these bytes."""

    async def respond(message: Msg) -> None:
        await message.respond(answer)

    return respond


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        pytest.param(nothing, OutcomeUnknown, id="lost"),
        pytest.param(answer_no_responders, NoResponders, id="no responders"),
        pytest.param(reply_with(b'{"replies":[%b]}' % BOOKED), OutcomeUnknown, id="too few"),
        pytest.param(
            reply_with(b'{"replies":[%b]}' % b",".join([BOOKED] * 4)), OutcomeUnknown, id="too many"
        ),
        pytest.param(reply_with(b'{"replies":7}'), OutcomeUnknown, id="no list"),
        pytest.param(reply_with(b'{"replies":[1,2,3]}'), OutcomeUnknown, id="no replies"),
        pytest.param(reply_with(b"[]"), OutcomeUnknown, id="no object"),
        pytest.param(reply_with(b"hello"), OutcomeUnknown, id="no JSON"),
        pytest.param(reply_with(BOOKED), OutcomeUnknown, id="a single reply"),
    ],
)
async def test_commands_of_a_batch_share_the_fate_of_its_answer(
    worker: Worker, answer: Callable[[Msg], Awaitable[None]], refusal: type[Refused]
) -> None:
    """If a batch's answer is lost or incomplete, every caller gets the outcome as its own exception."""
    with skipping() as clock:
        asked = [worker.ask(number) for number in range(3)]
        message = await worker.next()
        assert len(items_of(message)) == 3
        await answer(message)
        if answer is nothing:
            clock.skip(LONG)
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {refusal}
    assert len({id(outcome) for outcome in outcomes}) == 3


async def test_refused_batch_was_not_executed(worker: Worker) -> None:
    """An overloaded worker refuses a whole batch: none of its commands was executed."""
    async with CommandClient(worker.url) as client:
        asked = [asyncio.create_task(client.send(BOOK, BookAppointment(**fresh()))) for _ in range(3)]
        await (await worker.next()).respond(OVERLOADED)
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotExecuted] * 3


async def test_batch_has_a_size_limit(worker: Worker) -> None:
    """Large commands make smaller batches, so that NATS accepts each batch and its replies."""
    command = json.dumps("x" * (LARGEST_REQUEST - 2)).encode()
    asked = [asyncio.create_task(worker.answer(command)) for _ in range(MOST_COMMANDS)]
    answered = 0
    while answered < MOST_COMMANDS:
        message = await worker.next()
        assert len(message.data) <= 2**20 // 2 + 100
        answered += len(items_of(message))
        await answer_all(message, BOOKED)
    assert len(await asyncio.gather(*asked)) == MOST_COMMANDS


async def test_command_carries_its_own_request_id(worker: Worker) -> None:
    """A command carries the request id that its own caller has bound for its logs."""
    async with CommandClient(worker.url) as client:

        async def book(request_id: str) -> None:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                await client.send(BOOK, BookAppointment(**fresh()))

        asked = [asyncio.create_task(book(f"feedface{number}")) for number in range(3)]
        message = await worker.next()
        assert [item["requestId"] for item in items_of(message)] == ["feedface0", "feedface1", "feedface2"]
        await answer_all(message, BOOKED)
        await asyncio.gather(*asked)


async def test_command_of_a_batch_is_retried_alone(worker: Worker) -> None:
    """If one of two commands in a batch is unknown, the client retries it alone, with the same bytes."""
    with skipping() as clock:
        async with CommandClient(worker.url, timeout=PATIENCE) as client:
            asked = [asyncio.create_task(client.send(BOOK, BookAppointment(**fresh()))) for _ in range(2)]
            first = await worker.next()
            deadline = clock.at(deadline_of(first))
            await answer_in_order(first, BOOKED, UNKNOWN)
            assert (await asked[0]).status == 201
            clock.skip_to(deadline)
            second = await worker.next()
            assert commands(second) == commands(first)[1:]
            await answer_all(second, BOOKED)
            assert (await asked[1]).status == 201


def commands(message: Msg) -> list[Any]:
    return [item["command"] for item in items_of(message)]
