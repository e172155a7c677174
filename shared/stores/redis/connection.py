"""The Redis connection."""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from shared.process.settings import Misconfigured

# Twice this, and a booking that goes on without Redis still meets the deadline of an attempt.
SOCKET_SECONDS = 0.5
POOL_WAIT_SECONDS = 1.5
# So many that hardly anybody waits: the pool is not fair, and some would wait until it is too late.
POOL_CONNECTIONS = 128


def connect_redis(url: str) -> Redis:
    """A client that connects when first used, and gives up after about a second where Redis is gone.

    Raises:
        Misconfigured: the URL cannot be used; the line does not repeat it, since it may hold a password.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=POOL_CONNECTIONS,
            timeout=POOL_WAIT_SECONDS,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
            # A script may have run although its answer was lost: whether to repeat it is the caller's choice.
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            # With RESP3, redis-py 8 hands out connections that were cut: each would fail one command.
            protocol=2,
        )
    except ValueError as error:
        raise Misconfigured(f"REDIS_URL cannot be used: {type(error).__name__}") from None
    return Redis(connection_pool=pool)
