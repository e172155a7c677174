"""Calls straight to the workers."""

import asyncio
import json
from contextlib import suppress
from functools import partial
from itertools import cycle

from nats.aio.client import Client
from nats.errors import ConnectionClosedError, NoRespondersError
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NoReplyError

from tests.concurrency.addresses import shown
from tests.concurrency.callers.base import (
    CONNECT_SECONDS,
    REQUEST_ID,
    Call,
    UnreachableError,
    lost,
    no_answer,
    not_sent,
    read_envelope,
)
from tests.concurrency.operations import Answer, Json


class NatsCaller:
    def __init__(self, url: str, *, connections: int, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._clients = [Client() for _ in range(connections)]
        self._next = cycle(self._clients)

    async def warm(self) -> None:
        """Open every connection, and its inbox for replies.

        Raises:
            UnreachableError: there is no NATS server.
        """
        try:
            for client in self._clients:
                if not client.is_connected:
                    # Its own limit is for one attempt, and it makes sixty.
                    await asyncio.wait_for(self._connect(client), CONNECT_SECONDS)
                with suppress(NoRespondersError):
                    await client.request(client.new_inbox(), timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, NatsError):
            address = shown(self._url)
            raise UnreachableError(
                f"No NATS server answers at {address}: is the stack up? (make up)"
            ) from None

    async def close(self) -> None:
        for client in self._clients:
            if client.is_connected:
                await client.close()

    def book(self, body: Json, request_id: str) -> Call:
        return self._call("booking.v1.book", request_id, body)

    def hold(self, body: Json, request_id: str) -> Call:
        return self._call("hold.v1.place", request_id, body)

    def get(self, body: Json, request_id: str) -> Call:
        return self._call("booking.v1.get", request_id, body)

    async def _connect(self, client: Client) -> None:
        await client.connect(
            self._url.split(","),
            name="concurrency-proof",
            allow_reconnect=False,
            connect_timeout=CONNECT_SECONDS,
            error_cb=_leave_it_to_the_call,
        )

    def _call(self, subject: str, request_id: str, body: Json) -> Call:
        return partial(self._send, next(self._next), subject, request_id, json.dumps(body).encode())

    async def _send(self, client: Client, subject: str, request_id: str, payload: bytes) -> Answer:
        headers = {REQUEST_ID: request_id}
        try:
            reply = await client.request(subject, payload, timeout=self._timeout, headers=headers)
        except NoRespondersError:
            return not_sent(f"no worker listens on {subject}")
        except NoReplyError:
            return no_answer(self._timeout)
        except ConnectionClosedError:
            return not_sent("cannot connect")
        except (NatsError, OSError) as error:
            return lost(error)
        return read_envelope(reply.data)


async def _leave_it_to_the_call(_error: Exception) -> None:
    """Whoever made the call that fails is told; nothing is logged beside it."""
