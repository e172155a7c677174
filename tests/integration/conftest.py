"""One deployment for the tests that only ask; tests that break something make their own."""

from collections.abc import AsyncIterator, Iterator

import httpx
import nats
import pytest
from nats.aio.client import Client

from tests.callers import Caller, HttpCaller, NatsCaller
from tests.servers import Servers
from tests.stack import Stack


@pytest.fixture(scope="session")
def stack(servers: Servers) -> Iterator[Stack]:
    """A gateway with two booking workers and a hold worker."""
    with servers.new_stack() as stack:
        yield stack.up()


@pytest.fixture(scope="session")
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=stack.url, timeout=20, limits=limits) as client:
        yield client


@pytest.fixture(scope="session")
async def nats_connection(stack: Stack) -> AsyncIterator[Client]:
    connection = await nats.connect(stack.env["NATS_URL"])
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
def http_caller(http: httpx.AsyncClient) -> HttpCaller:
    return HttpCaller(http)


@pytest.fixture(scope="session")
def nats_caller(nats_connection: Client) -> NatsCaller:
    return NatsCaller(nats_connection)


@pytest.fixture(params=["http", "nats"])
def caller(request: pytest.FixtureRequest) -> Caller:
    """Both ways in, one after the other."""
    caller: Caller = request.getfixturevalue(f"{request.param}_caller")
    return caller
