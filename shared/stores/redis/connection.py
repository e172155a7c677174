"""Connect to Redis."""

from typing import Any

import hiredis
from redis.asyncio import Connection, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from shared.process.settings import Misconfigured

CONNECT_SECONDS = 0.5
MOST_CONNECTIONS = 32
"""More than a worker has batches at once. `Server` never uses more at a time."""


class _Connection(Connection):
    """Packs commands in C; redis-py's asyncio connections do it in Python, argument by argument."""

    def pack_command(self, *args: Any) -> list[bytes]:
        name, *others = args
        return [hiredis.pack_command((*name.split(), *others))]  # such as "CLUSTER SLOTS"


def connect_redis(url: str) -> Redis:
    """Return a client that connects at first use. It does not bound the time of an answer.

    Raises:
        Misconfigured: the URL cannot be used. The message does not contain the URL, which may hold a
        password.
    """
    try:
        pool = ConnectionPool.from_url(
            url,
            connection_class=_Connection,  # over TLS or a Unix socket, redis-py's own
            max_connections=MOST_CONNECTIONS,
            # With a timeout, redis-py starts a task per command, and a timer for each half of it.
            socket_timeout=None,
            socket_connect_timeout=CONNECT_SECONDS,
            # A script may have run although its answer was lost, so only the caller may retry.
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            # With RESP3, redis-py 8 hands out closed connections, and each fails one command.
            protocol=2,
        )
    except ValueError as error:
        raise Misconfigured(f"REDIS_URL cannot be used: {type(error).__name__}") from None
    return Redis(connection_pool=pool)
