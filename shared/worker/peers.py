"""The other workers of this kind: find out whether one of them can serve instead of this one."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from nats.aio.client import Client
from nats.errors import Error as NatsError

from shared.contract.envelope import read_reply
from shared.contract.errors import Refused
from shared.contract.replies import Readiness
from shared.worker.serving_policy import ServingPolicy

ANSWER_SECONDS = 0.5
POLL_SECONDS = 1.0


async def watch_peers(
    connection: Client, subject: str, policy: ServingPolicy, on_change: Callable[[], None]
) -> None:
    """While this host's clock is wrong, poll whether a peer is ready, and record it in `policy`.

    Args:
        connection: of this worker.
        subject: asks every worker of this kind whether it is ready.
        policy: its `peer_is_ready` is kept up to date.
        on_change: called after each change of `policy`.
    """
    while True:
        peer_is_ready = policy.clock_is_wrong and await _any_peer_is_ready(connection, subject)
        if peer_is_ready != policy.peer_is_ready:
            policy.peer_is_ready = peer_is_ready
            on_change()
        await asyncio.sleep(POLL_SECONDS)


async def _any_peer_is_ready(connection: Client, subject: str) -> bool:
    """Return whether any worker answers within `ANSWER_SECONDS` that it is ready."""
    try:
        inbox = connection.new_inbox()
        subscription = await connection.subscribe(inbox)
        try:
            await connection.publish(subject, b"{}", inbox)
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    message = await subscription.next_msg(None)
                    with suppress(Refused):
                        if read_reply(message.data, message.headers or {}, Readiness).body.ready:
                            return True
        finally:
            await subscription.unsubscribe()
    except (TimeoutError, NatsError):
        return False
