"""The Redis connection."""

from typing import Any

import hiredis
from redis.asyncio import Connection, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from shared.process.settings import Misconfigured

CONNECT_SECONDS = 0.5
MOST_CONNECTIONS = 32
"""More than a worker has batches at once; who asks sees to it that no more are wanted together."""


class _Connection(Connection):
    """Packs commands in C; redis-py's asyncio connections do it in Python, argument by argument."""

    def pack_command(self, *args: Any) -> list[bytes]:
        name, *others = args
        return [hiredis.pack_command((*name.split(), *others))]  # such as "CLUSTER SLOTS"


def connect_redis(url: str) -> Redis:
    """A client that connects when first used. It does not bound how long an answer may take.

    Raises:
        Misconfigured: the URL cannot be used; the line does not repeat it, since it may hold a password.
    """
    try:
        pool = ConnectionPool.from_url(
            url,
            connection_class=_Connection,  # over TLS or a Unix socket, redis-py's own
            max_connections=MOST_CONNECTIONS,
            # With it, redis-py starts a task a command, and a timer for each half of it.
            socket_timeout=None,
            socket_connect_timeout=CONNECT_SECONDS,
            # A script may have run although its answer was lost: whether to repeat it is the caller's choice.
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            # With RESP3, redis-py 8 hands out connections that were cut: each would fail one command.
            protocol=2,
        )
    except ValueError as error:
        raise Misconfigured(f"REDIS_URL cannot be used: {type(error).__name__}") from None
    return Redis(connection_pool=pool)
