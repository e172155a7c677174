"""The consumers of direct clients: one for each API key with `nats` and the scope `events`, of its sites.

Clients do not create consumers themselves: a consumer may deliver to any subject, which no permission of NATS
restricts, so a client could have JetStream send messages in its place.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from shared.contract.caller import Scope
from shared.contract.events import STREAM, SUBJECTS, consumer_of, subject_of
from shared.process.api_keys import ApiKey, parse_keys
from shared.process.settings import Misconfigured
from shared.process.watched_file import InvalidFile, WatchedFile

LOOK_SECONDS = 2.0
ACK_SECONDS = 60.0
MOST_UNACKNOWLEDGED = 1024
FORGOTTEN_SECONDS = 30 * 24 * 60 * 60.0
"""After which JetStream deletes the consumer of a client that has not read; it is created again."""
AGAIN_SECONDS = 30.0
"""How often consumers are created again, in case the stream was deleted."""

log = structlog.get_logger()


def watch_keys(keys_file: Path) -> WatchedFile[tuple[ApiKey, ...]]:
    """Read the API keys, and read them again when they change.

    Raises:
        Misconfigured: the file is wrong.
    """
    try:
        return WatchedFile(keys_file, parse_keys)
    except InvalidFile as error:
        raise Misconfigured(f"API_KEYS_FILE: {error}") from None


async def keep_client_consumers(connection: Client, keys: WatchedFile[tuple[ApiKey, ...]]) -> None:
    """Create the consumers, and change and delete them with the keys, until cancelled.

    NATS lets a client read its consumer as long as it has the client's user, so the consumer must go with the
    key: a user goes only when somebody writes the configuration of NATS anew.
    """
    jetstream, now = connection.jetstream(), asyncio.get_running_loop().time
    created: tuple[ConsumerConfig, ...] = ()
    create_again_at = 0.0
    while True:
        wanted = consumers_of(keys.content, datetime.now(UTC))
        if wanted != created or now() >= create_again_at:
            try:
                for config in wanted:
                    await jetstream.add_consumer(STREAM, config)
                await _delete_others(jetstream, {str(config.name) for config in wanted})
                created, create_again_at = wanted, now() + AGAIN_SECONDS
            except (NatsError, TimeoutError) as error:  # no stream yet, or no NATS
                log.debug("client_consumers_wait", reason=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)


async def _delete_others(jetstream: JetStreamContext, wanted: set[str]) -> None:
    """Delete the consumers of clients whose keys were revoked, have expired or may read no events."""
    names = set[str]()
    while page := await jetstream.consumers_info(STREAM, offset=len(names)):
        names |= {consumer.name for consumer in page}
    for name in sorted(names - wanted):
        if name.startswith(consumer_of("")):
            with suppress(NotFoundError):
                await jetstream.delete_consumer(STREAM, name)
            log.info("client_consumer_deleted", consumer=name)


def consumers_of(keys: Sequence[ApiKey], at: datetime) -> tuple[ConsumerConfig, ...]:
    """Return the consumers of all clients that may read events at a time, from the oldest stored event on."""
    return tuple(
        ConsumerConfig(
            name=consumer_of(key.id),
            durable_name=consumer_of(key.id),
            filter_subjects=[SUBJECTS] if key.sites == "all" else sorted(map(subject_of, key.sites)),
            deliver_policy=DeliverPolicy.ALL,
            ack_wait=ACK_SECONDS,
            max_ack_pending=MOST_UNACKNOWLEDGED,
            inactive_threshold=FORGOTTEN_SECONDS,
        )
        for key in keys
        if key.nats and Scope.EVENTS in key.scopes and not key.has_expired(at)
    )
