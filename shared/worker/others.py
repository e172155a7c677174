"""What the other workers of a kind say of themselves."""

import asyncio
from contextlib import suppress

from nats.aio.client import Client

from shared.contract.envelope import read_reply
from shared.contract.errors import Refused
from shared.contract.replies import Readiness

ANSWER_SECONDS = 0.5


async def any_is_ready(connection: Client, subject: str) -> bool:
    """Whether any worker that hears `subject` answers in time that it is ready."""
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
    except TimeoutError:
        return False
    finally:
        await subscription.unsubscribe()
