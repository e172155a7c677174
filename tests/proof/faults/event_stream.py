"""The stream of events, read and deleted as its consumers see it."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import nats
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from shared.process.nats_access import NatsAccess
from tests.proof.faults.history import Event, Row
from tests.proof.faults.places import Change, Place, Service
from tests.proof.faults.recorder import Recorder

STREAM, SUBJECTS = "EVENTS", "event.v1.>"
PUBLISHED_SECONDS = 30.0
READ_SECONDS = 5.0
FORGOTTEN_SECONDS = 30.0
LOOK_SECONDS = 0.2


@asynccontextmanager
async def jetstream(urls: Sequence[str], operator: NatsAccess | None) -> AsyncIterator[JetStreamContext]:
    """Yield a connection for operators."""
    connection = await nats.connect(
        list(urls),
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,
        error_cb=_ignore,
        **(operator.connect if operator else {}),
    )
    try:
        yield connection.jetstream()
    finally:
        await connection.close()


async def delete_events(urls: Sequence[str], operator: NatsAccess | None) -> None:
    """Delete the stream, if there is one.

    Raises:
        NatsError, TimeoutError: JetStream does not answer now.
    """
    async with jetstream(urls, operator) as context:
        with suppress(NotFoundError):
            await context.delete_stream(STREAM)


async def forget_events(urls: Sequence[str], operator: NatsAccess | None) -> None:
    """Delete the stream as soon as JetStream answers."""
    async with asyncio.timeout(FORGOTTEN_SECONDS):
        while True:
            try:
                return await delete_events(urls, operator)
            except (NatsError, TimeoutError):
                await asyncio.sleep(LOOK_SECONDS)


async def leader_of_stream(urls: Sequence[str], operator: NatsAccess | None) -> str:
    """Return the name of the node that leads the stream; empty if none is known."""
    async with jetstream(urls, operator) as context:
        try:
            cluster = (await context.stream_info(STREAM)).cluster
        except (NatsError, TimeoutError):
            return ""
    return (cluster.leader if cluster else "") or ""


async def read_events(
    urls: Sequence[str], operator: NatsAccess | None, recorder: Recorder, rows: Sequence[Row]
) -> tuple[Event, ...]:
    """Return all events in the order of the stream, once every change in the rows has one.

    After half a minute, return what there is.
    """
    wanted = {f"{row.id}:{change.version}" for row in rows for change in row.history}
    ends = asyncio.get_running_loop().time() + PUBLISHED_SECONDS
    async with jetstream(urls, operator) as context:
        while True:
            events = tuple(_event(message, recorder) for message in await _messages(context))
            late = asyncio.get_running_loop().time() > ends
            if late or wanted <= {event.id for event in events}:
                return events
            await asyncio.sleep(LOOK_SECONDS)


async def _messages(context: JetStreamContext) -> Collection[Msg]:
    """Return all messages; none if the stream is missing, or does not answer now."""
    found: list[Msg] = []
    try:
        last = (await context.stream_info(STREAM)).state.last_seq
        subscription = await context.subscribe(SUBJECTS, ordered_consumer=True)
        try:
            while last and (not found or found[-1].metadata.sequence.stream < last):
                found.append(await subscription.next_msg(READ_SECONDS))
        finally:
            await subscription.unsubscribe()
    except (NatsError, TimeoutError):
        return []
    return found


def _event(message: Msg, recorder: Recorder) -> Event:
    headers, data = message.headers or {}, json.loads(message.data)
    site, type = message.subject.split(".")[2:]
    at = recorder.moment(datetime.fromisoformat(headers["ce-time"]))
    change = Change(type, _place(data, site), data["version"], None, at, data.get("attendance"))  # type: ignore[arg-type]
    left = data.get("previous")
    stored = recorder.moment(message.metadata.timestamp)
    return Event(headers["ce-id"], data["id"], change, _place(left, site) if left else None, stored)


def _place(data: dict[str, Any], site: str) -> Place:
    minutes, service = data.get("durationMinutes"), Service.of(data)
    return Place(data.get("site", site), tuple(data["resources"]), data["slot"], minutes, service)


async def _ignore(_error: Exception) -> None:
    """Ignore a lost connection: it is part of the run."""
