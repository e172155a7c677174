"""Calls through the gateway."""

import asyncio
import ssl
from functools import partial
from itertools import cycle

import httpx

from tests.concurrency.addresses import shown
from tests.concurrency.callers.base import (
    CONNECT_SECONDS,
    REQUEST_ID,
    Call,
    UnreachableError,
    lost,
    no_answer,
    not_sent,
    read_body,
)
from tests.concurrency.operations import Answer, Json


class HttpCaller:
    def __init__(self, url: str, *, connections: int, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        context = ssl.create_default_context()
        # Shorter than a server's keep-alive (5 s by default): a connection must not close under a request.
        limits = httpx.Limits(max_connections=1, keepalive_expiry=3)
        whole_call_is_timed = httpx.Timeout(None)

        def client() -> httpx.AsyncClient:
            return httpx.AsyncClient(
                base_url=url, verify=context, trust_env=False, timeout=whole_call_is_timed, limits=limits
            )

        # One client a connection: a shared pool scans all its connections for every request.
        self._clients = [client() for _ in range(connections)]
        self._next = cycle(self._clients)

    async def warm(self) -> None:
        """Open every connection.

        Raises:
            UnreachableError: nothing that speaks HTTP is there, or it refuses some of the connections.
        """
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

    def book(self, body: Json, request_id: str) -> Call:
        return self._call("POST", "/api/book-appointment", request_id, body)

    def hold(self, body: Json, request_id: str) -> Call:
        return self._call("POST", "/api/hold-appointment", request_id, body)

    def get(self, body: Json, request_id: str) -> Call:
        return self._call("GET", f"/api/appointments/{body['id']}", request_id, None)

    def _call(self, method: str, path: str, request_id: str, body: Json | None) -> Call:
        client = next(self._next)
        request = client.build_request(method, path, json=body, headers={REQUEST_ID: request_id})
        return partial(self._send, client, request)

    async def _send(self, client: httpx.AsyncClient, request: httpx.Request) -> Answer:
        try:
            async with asyncio.timeout(self._timeout):
                response = await client.send(request)
        except TimeoutError:
            return no_answer(self._timeout)
        except httpx.ConnectError:
            return not_sent("cannot connect")
        except httpx.HTTPError as error:
            return lost(error)
        return read_body(response.status_code, response.content)


async def _opens(client: httpx.AsyncClient, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await client.get("/livez")
    except (httpx.HTTPError, TimeoutError):
        return False
    return True
