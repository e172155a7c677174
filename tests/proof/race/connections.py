"""Open enough connections to send all requests at once, by HTTP or NATS, and map failures to answers."""

import asyncio
import os
import ssl
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import cycle

import httpx
from nats.aio.client import Client
from nats.errors import ConnectionClosedError, NoRespondersError
from nats.errors import Error as NatsError

from shared.contract.operations import BOOKING_READY
from shared.process.nats_access import read_access
from shared.process.tls import certificate_problem
from tests import callers
from tests.callers import Caller, HttpCaller, NatsCaller
from tests.proof.race.addresses import shown
from tests.proof.race.exchanges import Reply, Request

Call = Callable[[], Awaitable[Reply]]

CONNECT_SECONDS = 5
RETRY_SECONDS = 0.05
BEING_BOOKED = "BeingBooked"
REQUEST_ID = "X-Request-Id"


class UnreachableError(Exception):
    """No server answers at an address."""


class NotPermittedError(Exception):
    """The deployment needs a key, or the key does not permit what a proof sends."""


class Connections(ABC):
    """The connections of one transport; calls use them in turn."""

    def __init__(self, ways: Sequence[Caller], timeout: float) -> None:
        self._timeout = timeout
        self._next = cycle(ways)

    @abstractmethod
    async def warm(self) -> None:
        """Open every connection.

        Raises:
            UnreachableError: no server answers, or it refuses some of the connections, or its certificate is
                not trusted.
        """

    @abstractmethod
    async def close(self) -> None: ...

    def build(self, request: Request) -> Call:
        call = next(self._next).build(request.kind, request.body, {REQUEST_ID: request.request_id})
        return partial(self._send, call)

    async def _send(self, call: callers.Call) -> Reply:
        try:
            async with asyncio.timeout(self._timeout):
                # Retry a hold that meets a booking in progress, as the product's own client does.
                reply = await call()
                while reply.headers.get("error-type") == BEING_BOOKED:
                    await asyncio.sleep(RETRY_SECONDS)
                    reply = await call()
                return _read(reply)
        except TimeoutError:
            return Reply(None, problem=f"no answer in {self._timeout:g} s")
        except NoRespondersError:
            return Reply(None, problem="no worker listens", sent=False)
        except (httpx.ConnectError, ConnectionClosedError):
            return Reply(None, problem="cannot connect", sent=False)
        except (httpx.HTTPError, NatsError, OSError) as error:
            return Reply(None, problem=f"connection lost ({type(error).__name__})")
        except (ValueError, TypeError, KeyError, AssertionError, RecursionError):
            return Reply(None, problem="the reply cannot be read")


class HttpConnections(Connections):
    """Connections to the gateway."""

    def __init__(self, url: str, *, connections: int, timeout: float) -> None:
        self._url = url
        context = ssl.create_default_context()
        # Shorter than a server's keep-alive (5 s by default), so no server closes a connection in use.
        limits = httpx.Limits(max_connections=1, keepalive_expiry=3)
        whole_call_is_timed = httpx.Timeout(None)
        key = os.environ.get("SLOTKEEPER_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}

        def client() -> httpx.AsyncClient:
            return httpx.AsyncClient(
                base_url=url,
                headers=headers,
                verify=context,
                trust_env=False,
                timeout=whole_call_is_timed,
                limits=limits,
            )

        # One client per connection: a shared pool scans all of its connections for every request.
        self._clients = [client() for _ in range(connections)]
        super().__init__([HttpCaller(client) for client in self._clients], timeout)

    async def warm(self) -> None:
        if not await _opens(self._clients[0], CONNECT_SECONDS):
            raise UnreachableError(f"No gateway answers at {shown(self._url)}: is the stack up? (make up)")
        opened = await asyncio.gather(*(_opens(client, self._timeout) for client in self._clients))
        if not all(opened):
            total = len(opened)
            raise UnreachableError(
                f"{shown(self._url)} takes only {sum(opened)} of {total} connections at once"
            )

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


class NatsConnections(Connections):
    """Connections to NATS, and so directly to the workers."""

    def __init__(self, url: str, *, connections: int, timeout: float, access: str = "") -> None:
        self._url = url
        self._access = read_access(access) if access else None
        self._prefix = prefix = self._access.subject_prefix if self._access else ""
        self._clients = [Client() for _ in range(connections)]
        over_nats = [NatsCaller(client, reply_seconds=timeout, prefix=prefix) for client in self._clients]
        super().__init__(over_nats, timeout)

    async def warm(self) -> None:
        try:
            for client in self._clients:
                if not client.is_connected:
                    # The client's own limit applies to one attempt, and it makes sixty attempts.
                    await asyncio.wait_for(self._connect(client), CONNECT_SECONDS)
                with suppress(NoRespondersError):  # the request opens the inbox for replies
                    await client.request(self._prefix + BOOKING_READY.subject, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, NatsError):
            address = shown(self._url)
            raise UnreachableError(
                f"No NATS server answers at {address}: is the stack up? (make up)"
            ) from None

    async def close(self) -> None:
        for client in self._clients:
            if client.is_connected:
                await client.close()

    async def _connect(self, client: Client) -> None:
        await client.connect(
            self._url.split(","),
            name="concurrency-proof",
            allow_reconnect=False,
            connect_timeout=CONNECT_SECONDS,
            error_cb=_ignore_error,
            **(self._access.connect if self._access else {}),
        )


def _read(answer: callers.Answer) -> Reply:
    match answer.status, answer.body:
        case int(status), dict(body):
            return Reply(status, body)
        case int(status), _:
            return Reply(status, problem="the body is not a JSON object")
        case _:
            return Reply(None, problem="the reply cannot be read")


async def _opens(client: httpx.AsyncClient, seconds: float) -> bool:
    """Whether the server answers.

    Raises:
        UnreachableError: its certificate is not trusted.
    """
    try:
        async with asyncio.timeout(seconds):
            await client.get("/livez")
    except (httpx.HTTPError, TimeoutError) as error:
        if problem := certificate_problem(error):
            raise UnreachableError(f"{shown(str(client.base_url).rstrip('/'))}: {problem}") from None
        return False
    return True


async def _ignore_error(_error: Exception) -> None:
    """Log nothing: the call that fails raises the error."""
