"""One deployment for the tests that break nothing; a test that breaks something starts its own."""

from collections.abc import AsyncIterator, Iterator

import httpx
import nats
import pytest
from nats.aio.client import Client

from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.schema import Schema
from shared.stores.redis.connection import connect_redis
from tests.callers import Caller, HttpCaller, NatsCaller
from tests.integration.hold_stores import Stores
from tests.integration.use_cases import UseCases, use_cases_on
from tests.servers import Servers
from tests.stack import Stack


@pytest.fixture(scope="session")
def stack(servers: Servers) -> Iterator[Stack]:
    """Start a gateway with two booking workers and a hold worker."""
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
    """Run the test over HTTP, then over NATS."""
    caller: Caller = request.getfixturevalue(f"{request.param}_caller")
    return caller


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[mongodb.Database]:
    with servers.new_stack() as stack:
        database = mongodb.connect(stack.env["MONGO_URI"])
        yield database
        database.client.close()


@pytest.fixture
async def schema(database: mongodb.Database) -> Schema:
    """Make the verified schema of a serving worker."""
    schema = Schema(database, slot_minutes=0)
    await schema.wait_until_verified()
    return schema


@pytest.fixture
async def use_cases(servers: Servers) -> AsyncIterator[UseCases]:
    """Use cases on a grid of 0 minutes, on which every instant is a slot."""
    async with use_cases_on(servers, slot_minutes=0) as use_cases:
        yield use_cases


@pytest.fixture
async def grid_use_cases(servers: Servers) -> AsyncIterator[UseCases]:
    """Use cases on a grid of 15 minutes."""
    async with use_cases_on(servers, slot_minutes=15) as use_cases:
        yield use_cases


@pytest.fixture
async def stores(servers: Servers) -> AsyncIterator[Stores]:
    """Stores on the Redis that all tests share; a test uses sites of its own."""
    with servers.new_stack() as stack:
        redis = connect_redis(stack.env["REDIS_URL"])
        yield Stores.on(redis)
        await redis.aclose()
