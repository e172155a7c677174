"""Faults on NATS itself: deaf members, lost attempts, late answers and malformed messages."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from deploy.local.ports import LOOPBACK
from shared.process.nats_wire import round_trip
from tests.proof.faults.cluster import Cluster
from tests.proof.faults.history import ATTEMPT_SECONDS
from tests.proof.faults.server_faults import FaultNotPossible

OPERATIONS = {
    "booking_worker": [
        f"booking.v1.{name}"
        for name in (
            "book",
            "book_many",
            "move",
            "move_many",
            "cancel",
            "cancel_many",
            "get",
            "list",
            "slots",
        )
    ],
    "hold_worker": ["hold.v1.place", "hold.v1.place_many", "hold.v1.release"],
}
READY = ["booking.v1.ready", "hold.v1.ready"]
TAKEN = {
    "booking_worker": ["booking.v1.book_many", "booking.v1.move_many"],
    "hold_worker": ["hold.v1.place_many"],
}
PASSED = "Passed-On"
LATE_SECONDS, LATEST_SECONDS = 0.9, 3.0
GREEDY = 9
"""The number of its subscriptions for each subject: its share of the messages grows with it."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 0.2
LONG_HEADER = b"NATS/1.0\r\n" + b"a:b\r\n" * 20_000 + b"\r\n"
HEADERS = (
    b"NATS/1.0 \xff\xfe\xff\xff\r\n\r\n",
    b"\xff\xfe\xfd\xfc",
    b"NATS",
    b"\r\n\r\n",
    b"NATS/1.0 100 \xff\xff\r\n\r\n",
    b"NATS/1.0\r\nDeadline: \xff\xfe\r\n\r\n",
    b"NATS/1.0\r\n:\r\n\r\n",
    b"NATS/1.0\r\nno colon\r\n\r\n",
    LONG_HEADER,
)
REPLIES = (b"", b"\xff\xfe", b"_INBOX.\xff\xff.1", b"_INBOX." + b"x" * 500)
CONNECT = (
    b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"protocol":1,"lang":"raw","version":"0"}\r\n'
    b"SUB _INBOX.> 1\r\n"
)
SEEN_INBOX = re.compile(rb"^H?MSG (_INBOX\.\S+) 1 ")


@asynccontextmanager
async def deaf_member(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Add a member of all queue groups that receives its share of the commands and never answers."""
    url = random.choice(cluster.nats_urls)
    connection = await _connect(url)
    try:
        for group, subjects in OPERATIONS.items():
            for subject in subjects:
                await connection.subscribe(subject, group, cb=_ignore)
        await round_trip(connection)
        yield "a deaf member of every queue group"
    finally:
        await connection.close()


@asynccontextmanager
async def lose_first_attempts(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Receive most messages before the workers, drop the first attempt of each request, forward the rest."""

    async def take(connection: Client, message: Msg, is_first: bool) -> None:
        if not is_first:
            await pass_on(connection, message)

    async with _taking(cluster, random, take):
        yield "first attempts of most requests"


@asynccontextmanager
async def answer_late(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Receive most messages before the workers, and forward the workers' answers late.

    The answer to a first attempt arrives while the second attempt is in flight, and is executed after it.
    """

    async def take(connection: Client, message: Msg, is_first: bool) -> None:
        await asyncio.sleep(0 if is_first else LATE_SECONDS)
        arrived, headers = asyncio.get_running_loop().time(), {**(message.headers or {}), PASSED: "1"}
        with suppress(nats.errors.Error, TimeoutError):
            answer = await connection.request(message.subject, message.data, LATEST_SECONDS, headers=headers)
            spent = asyncio.get_running_loop().time() - arrived
            await asyncio.sleep(max(0, ATTEMPT_SECONDS + LATE_SECONDS / 2 - spent) if is_first else 0)
            await connection.publish(message.reply, answer.data, headers=answer.headers)

    async with _taking(cluster, random, take):
        yield "answers to first attempts of most requests"


Take = Callable[[Client, Msg, bool], Coroutine[Any, Any, None]]


async def pass_on(connection: Client, message: Msg) -> None:
    """Publish the message again, until a worker receives it."""
    with suppress(nats.errors.Error):  # the connection is closing
        await connection.publish(message.subject, message.data, message.reply, message.headers)


@asynccontextmanager
async def _taking(cluster: Cluster, random: Random, take: Take) -> AsyncIterator[None]:
    """Add a member of the queue groups that receives most messages and recognises first attempts.

    It forwards at once a command without a key, or with a key that ends with `-rival`.
    """
    connection = await _connect(random.choice(cluster.nats_urls))
    seen: set[str] = set()
    in_flight: set[asyncio.Task[None]] = set()

    async def receive(message: Msg) -> None:
        keys = {key for key in _keys(json.loads(message.data)) if not key.endswith("-rival")}
        is_first = bool(keys - seen)
        seen.update(keys)
        if not keys or PASSED in (message.headers or {}):
            await pass_on(connection, message)
        else:
            task = asyncio.create_task(take(connection, message, is_first))
            in_flight.add(task)
            task.add_done_callback(in_flight.discard)

    try:
        for group, subjects in TAKEN.items():
            for subject in subjects * GREEDY:
                await connection.subscribe(subject, group, cb=receive)
        await round_trip(connection)
        yield
    finally:
        for task in in_flight:
            task.cancel()
        await asyncio.gather(*in_flight, return_exceptions=True)
        await connection.close()


def _keys(message: dict[str, Any]) -> set[str]:
    """Return the keys, move ids and tokens of a message's commands."""
    commands = [each["command"] for each in message["commands"]]
    named = ("moveId", "idempotencyKey", "holdToken")
    return {next((each[name] for name in named if name in each), "-rival") for each in commands}


async def _connect(url: str) -> Client:
    try:
        async with asyncio.timeout(2):
            return await nats.connect(url, allow_reconnect=False, error_cb=_pass)
    except (nats.errors.Error, OSError, TimeoutError):
        raise FaultNotPossible from None


async def _ignore(_message: Msg) -> None:
    """Receive a message without an answer."""


async def _pass(_error: Exception) -> None:
    """Ignore a lost connection: it is part of the run."""


@asynccontextmanager
async def send_malformed(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Send messages that break the protocol to workers, and to the inboxes of gateways."""
    sending = asyncio.create_task(_send_malformed(cluster, random))
    try:
        yield "workers and gateways"
    finally:
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending


async def _send_malformed(cluster: Cluster, random: Random) -> None:
    while True:
        running = [each for each in cluster.nats.values() if each.running]
        with suppress(OSError):
            if running:
                await _send_by(random.choice(running).port, random)
        await asyncio.sleep(SHORTEST_PAUSE)


async def _send_by(port: int, random: Random) -> None:
    """Send malformed messages on one connection until it ends."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    inboxes: list[bytes] = []
    listening = asyncio.create_task(_listen(reader, writer, inboxes))
    services = [
        each.encode() for each in (*READY, *(name for names in OPERATIONS.values() for name in names))
    ]
    try:
        writer.write(CONNECT)
        while not listening.done():
            inbox = inboxes and random.random() < 0.4
            subject = random.choice(inboxes[-10:] if inbox else services)
            writer.write(_frame(subject, random))
            await writer.drain()
            await asyncio.sleep(random.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))
    finally:
        listening.cancel()
        writer.transport.abort()


def _frame(subject: bytes, random: Random) -> bytes:
    reply, payload = random.choice(REPLIES), random.choice((b"", b"{}", b"\xff\xfe"))
    if random.random() < 0.2:
        return b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload)
    header = random.choice(HEADERS)
    sizes = len(header), len(header) + len(payload)
    return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject, reply, *sizes, header, payload)


async def _listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inboxes: list[bytes]) -> None:
    """Collect the inboxes that receive answers, and answer the server's pings."""
    with suppress(OSError, ValueError):
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
            elif found := SEEN_INBOX.match(line):
                inboxes.append(found[1])
