"""What a process is made of that uses NATS without FastStream: a connection and a health port."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from shared.contract.replies import OK, Readiness
from shared.process.health import bind_health, health_server
from shared.process.nats_options import NatsOptions
from shared.process.nats_wire import GuardedClient
from shared.process.settings import NatsSettings, WorkerSettings, load


@asynccontextmanager
async def connected(
    connection: GuardedClient,
    name: str,
    checks: Callable[[], Mapping[str, str]],
    fail: Callable[[], None],
    **options: Any,
) -> AsyncIterator[None]:
    """Serve the health port, connect to NATS, and close the connection at the end.

    Args:
        connection: A client that is not connected yet.
        name: of the process, for NATS.
        checks: Returns the state of each part besides NATS for `/readyz`; it begins with "ok" if it is ready.
        fail: Called if the process is of no further use.
        options: More arguments of `connection.connect`.
    """
    worker, own = load(WorkerSettings), load(NatsSettings)
    nats = NatsOptions(own.nats_url, name, tls=own.tls(), access=own.nats_access, on_closed=fail)

    async def readiness() -> Readiness:
        found = {"nats": OK if connection.is_connected else "not connected", **checks()}
        return Readiness(ready=all(check.startswith(OK) for check in found.values()), checks=found)

    port = bind_health(worker.host, worker.worker_http_port, variable="WORKER_HTTP_PORT")
    try:
        async with health_server(port, readiness, fail):
            await connection.connect(**nats.connect, **options)
            yield
    finally:
        nats.closing = True
        await connection.close()
