"""Helpers of tests that break something: a special gateway, a row count, a link to cut."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from pymongo import MongoClient

from deploy.local.ports import free_port
from tests.callers import HttpCaller
from tests.proof.faults.proxy import LinkRule, Proxy, Way
from tests.stack import Service, Stack, wait_until

LINK = "link"
REPLIES_LOST = LinkRule(frozenset({LINK}), down=Way.DROP)


def start_gateway(stack: Stack, *, without: str = "", **env: str) -> Service:
    """Start the stack's gateway without one safeguard, or with extra environment variables."""
    port = free_port()
    stack.url = f"http://127.0.0.1:{port}"
    return stack.start("gateway", without=without, PORT=str(port), **env)


def count_rows(stack: Stack, **query: Any) -> int:
    """Count the rows of `appointments` that match a query."""
    with MongoClient[dict[str, Any]](stack.env["MONGO_URI"]) as client:
        return client.get_default_database()["appointments"].count_documents(query)


async def until(condition: Callable[[], bool], what: str) -> None:
    """Poll a condition in a thread, so that this process's event loop keeps running."""
    await asyncio.to_thread(wait_until, condition, what)


@asynccontextmanager
async def http_caller(stack: Stack) -> AsyncIterator[HttpCaller]:
    """Yield a caller of the stack's gateway."""
    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as client:
        yield HttpCaller(client)


@asynccontextmanager
async def proxy() -> AsyncIterator[Proxy]:
    """Yield a proxy whose rules apply to every link."""
    proxy = Proxy(lambda _names: {})
    try:
        yield proxy
    finally:
        await proxy.close()
