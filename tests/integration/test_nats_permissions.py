"""Each NATS user tries everything that it may not do: the server refuses all of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from deploy.nats_access.files import access_file, write_access
from deploy.nats_access.permissions import services, subjects
from shared import BookingClient
from shared.contract import audit
from shared.contract.operations import OPERATIONS
from shared.process.nats_access import inbox_prefix
from tests.integration.secure import (
    FULL,
    KEYS,
    OTHER,
    READER,
    SMALL,
    Denials,
    connected_as,
    connected_with,
    secure_stack,
    settled,
)
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack

SERVICES = tuple(services())
CLIENTS = (FULL, SMALL, OTHER, READER)
ALL = (*SERVICES, *CLIENTS)
EVERYTHING = (
    ">",
    "*.>",
    "acct.>",
    "acct.*.*.booking.v1.>",
    "acct.*.*.>",
    "booking.v1.>",
    "_INBOX.>",
    "$JS.>",
)
PAYLOAD = b"{}"


@pytest.fixture(scope="module")
def stack(servers: Servers) -> Iterator[Stack]:
    with secure_stack(servers) as stack:
        yield stack


@pytest.fixture(params=ALL)
async def user(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[tuple[str, Client, Denials]]:
    """A connection as each user in turn."""
    async with connected_as(stack, request.param) as (connection, denials):
        yield request.param, connection, denials


async def test_no_user_listens_to_commands_or_replies(user: tuple[str, Client, Denials]) -> None:
    """Subscriptions to everything, to commands, and to another user's inbox are refused."""
    name, connection, denials = user
    others = [f"{inbox_prefix(other)}.>" for other in ALL if other != name]
    commands = [f"acct.*.*.{subject}" for subject in subjects() if not subject.endswith(".ready")]
    exact = [f"acct.SERVICE.gateway.{subject}" for subject in subjects() if not subject.endswith(".ready")]
    wanted = [*EVERYTHING, *others, *commands, *exact, *subjects(), "_R_.>", "$KV.>", "$SYS.>"]
    for subject in wanted:
        await connection.subscribe(subject)
    await settled(connection)
    assert not [subject for subject in wanted if not denials.of(subject)]


async def test_no_user_takes_commands_of_another_service(user: tuple[str, Client, Denials]) -> None:
    """A worker subscribes with its own group to its own subjects; other groups and subjects are refused."""
    name, connection, denials = user
    refused: list[tuple[str, str]] = []
    for operation in OPERATIONS:
        address = f"acct.*.*.{operation.subject}"
        for group in ("booking_worker", "hold_worker", "spies"):
            if operation.group is not None and not (name == operation.group == group):
                await connection.subscribe(address, queue=group)
                refused.append((address, group))
    await settled(connection)
    assert refused
    assert not [each for each in refused if not denials.of(*each)]


async def test_no_user_sends_as_another(user: tuple[str, Client, Denials]) -> None:
    """Commands under another account or user, plain commands, and forged replies are refused."""
    name, connection, denials = user
    senders = {("SERVICE", other) for other in SERVICES} | {(other, other) for other in CLIENTS}
    senders |= {("SERVICE", FULL), (FULL, "gateway"), (OTHER, FULL)}
    own = {("SERVICE", name), (name, name)}
    wanted = [
        f"acct.{account}.{user}.{subject}"
        for account, user in sorted(senders - own)
        for subject in subjects()
    ]
    wanted += subjects()
    wanted += [f"{inbox_prefix(other)}.forged" for other in ALL]
    wanted += ["_R_.forged", "_INBOX.forged"]
    for subject in wanted:
        await connection.publish(subject, PAYLOAD)
    await settled(connection)
    assert not [subject for subject in wanted if not denials.of(subject)]


async def test_no_user_publishes_what_is_not_its_own(user: tuple[str, Client, Denials]) -> None:
    """The relay alone publishes events, workers alone publish hints, operators alone delete streams."""
    name, connection, denials = user
    by = {
        "event.v1.default.booked": {"relay"},
        "audit.v1.default.book": {"relay"},
        "hint.v1.default.hold": {"booking_worker", "hold_worker"},
        "webhook.v1.test": {"gateway"},
        "$KV.webhooks.forged": {"gateway", "webhooks", "operator"},
        "$JS.ACK.EVENTS.webhook-1.1.1.1.1.0": {"webhooks", "operator"},
        "$SYS.REQ.SERVER.PING": set[str](),
    }
    for action in ("DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE"):
        for stream in ("EVENTS", audit.STREAM, "KV_webhooks"):
            by[f"$JS.API.STREAM.{action}.{stream}"] = {"operator"}
    by["$JS.API.STREAM.UPDATE.KV_webhooks"] = by["$JS.API.STREAM.CREATE.SPY"] = {"operator"}
    by["$JS.API.STREAM.NAMES"] = by["$JS.API.INFO"] = {"operator"}
    by[f"$JS.API.CONSUMER.CREATE.{audit.STREAM}.spy"] = {"operator"}
    for action in ("CREATE", "INFO", "MSG.NEXT"):
        by[f"$JS.API.CONSUMER.{action}.EVENTS.webhook-1"] = {"relay", "webhooks", "operator"}
        for reader in (FULL, READER):
            by[f"$JS.API.CONSUMER.{action}.EVENTS.client-{reader}"] = {"relay", "webhooks", "operator"}
            if action != "CREATE":
                by[f"$JS.API.CONSUMER.{action}.EVENTS.client-{reader}"].add(reader)
    by[f"$JS.API.DIRECT.GET.{audit.STREAM}"] = {"operator"}
    wanted = [subject for subject, users in by.items() if name not in users]
    for subject in wanted:
        await connection.publish(subject, PAYLOAD)
    await settled(connection)
    assert not [subject for subject in wanted if not denials.of(subject)]


async def test_only_the_gateway_and_operators_follow_events(user: tuple[str, Client, Denials]) -> None:
    """A client that could subscribe to `event.v1.>` would read other sites' events."""
    name, connection, denials = user
    for subject in ("event.v1.>", "event.v1.default.*", "hint.v1.>"):
        await connection.subscribe(subject)
        await settled(connection)
        assert denials.of(subject) == (name not in ("gateway", "operator"))


async def test_every_user_does_what_it_must(user: tuple[str, Client, Denials]) -> None:
    """Control: the same connections may use their own inboxes and addresses, without one more denial."""
    name, connection, denials = user
    inbox = await connection.subscribe(connection.new_inbox())
    if name in CLIENTS or name == "gateway":
        account = name if name in CLIENTS else "SERVICE"
        for subject in ("booking.v1.grid", "booking.v1.ready", "hold.v1.ready"):
            answer = await connection.request(f"acct.{account}.{name}.{subject}", PAYLOAD, 10)
            assert json.loads(answer.data)["status"] == 200
    await inbox.unsubscribe()
    await settled(connection)
    assert not denials.texts


@pytest.mark.parametrize("worker", ["booking_worker", "hold_worker"])
async def test_worker_answers_a_message_once_and_no_other(stack: Stack, worker: str) -> None:
    """A worker may answer the messages that it receives, each once; any other reply is refused."""
    ready = "booking.v1.ready" if worker == "booking_worker" else "hold.v1.ready"
    async with connected_as(stack, worker) as (rogue, denials), connected_as(stack, FULL) as (asking, _):
        received: asyncio.Queue[Msg] = asyncio.Queue()
        await rogue.subscribe(f"acct.*.*.{ready}", cb=received.put)
        await settled(rogue)
        answers: list[bytes] = []

        async def take(answer: Msg) -> None:
            answers.append(answer.data)

        inbox = asking.new_inbox()
        await asking.subscribe(inbox, cb=take)
        await asking.publish(f"acct.{FULL}.{FULL}.{ready}", PAYLOAD, reply=inbox)
        message = await asyncio.wait_for(received.get(), 10)
        await rogue.publish(message.reply, b"answered")
        await settled(rogue)
        assert not denials.texts
        for subject in (message.reply, f"{message.reply}x", inbox):
            await rogue.publish(subject, b"forged")
        await settled(rogue)
        assert all(denials.of(subject) for subject in (message.reply, f"{message.reply}x", inbox))
        await settled(asking)
        assert b"answered" in answers
        assert b"forged" not in answers


async def test_nobody_without_a_key_connects(stack: Stack, tmp_path: Path) -> None:
    """NATS refuses a connection without a key, and one with an unknown key."""
    write_access(tmp_path, KEYS)
    with pytest.raises(NatsError):
        await nats.connect(stack.env["NATS_URL"], allow_reconnect=False, connect_timeout=5)
    with pytest.raises(NatsError):
        async with connected_with(stack, access_file(tmp_path, "gateway")):
            pass


async def booking_as_seen_by(stack: Stack, *spies: Client) -> bytes:
    """Book, and return all that reached the spies, who subscribe to everything."""
    seen: list[bytes] = []

    async def take(message: Msg) -> None:
        seen.append(message.data)

    for spy in spies:
        for subject in EVERYTHING:
            await spy.subscribe(subject, cb=take)
        await settled(spy)
    body = fresh("Ada Lovelace")
    access = stack.client_access(FULL) if stack.access else None
    async with BookingClient(stack.env["NATS_URL"], access=access) as client:
        await client.book(body["slot"], body["patientName"], site=body["site"])
    answer = httpx.post(f"{stack.url}/api/book-appointment", json=fresh("Ada Lovelace"), timeout=20)
    assert answer.status_code == 201
    for spy in spies:
        await settled(spy)
    return b"".join(seen)


async def test_booking_is_seen_by_no_other_user(stack: Stack) -> None:
    """All users together receive nothing of a booking, whether it came over NATS or HTTP."""
    async with AsyncExitStack() as entered:
        spies = [(await entered.enter_async_context(connected_as(stack, name)))[0] for name in ALL]
        assert not await booking_as_seen_by(stack, *spies)


async def test_control_without_accounts_everybody_reads_names(servers: Servers) -> None:
    """Control: on a NATS without accounts, the same spy reads the patient's name."""
    with servers.new_stack() as open_stack:
        open_stack.up(booking_workers=1)
        async with await nats.connect(open_stack.env["NATS_URL"]) as spy:
            assert b"Ada Lovelace" in await booking_as_seen_by(open_stack, spy)
