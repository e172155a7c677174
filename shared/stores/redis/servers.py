"""Open the servers that `REDIS_URL` names: one Redis, or a cluster."""

from collections.abc import Collection, Sequence
from urllib.parse import urlsplit, urlunsplit

from redis.asyncio import Redis
from redis.exceptions import MovedError

from shared.process.settings import Misconfigured
from shared.stores.redis.cluster import Address, Cluster
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.scripts import Scripts
from shared.stores.redis.server import Server

CLUSTER = "+cluster"


class SingleServer:
    """One Redis, which has the keys of every site."""

    def __init__(self, redis: Redis) -> None:
        self._server = Server(redis)

    async def owners(self, sites: Sequence[str]) -> Sequence[Server]:
        """See `Servers`."""
        return [self._server] * len(sites)

    async def all(self) -> Collection[Server]:
        """See `Servers`."""
        return [self._server]

    async def known(self) -> Collection[Server]:
        """See `Servers`."""
        return [self._server]

    def moved(self, _redirection: MovedError) -> None:
        """See `Servers`."""

    async def aclose(self) -> None:
        """See `Servers`."""
        await self._server.aclose()


def open_redis(url: str) -> Scripts:
    """Open `redis://HOST:PORT`, or `redis+cluster://HOST:PORT,HOST:PORT` with some servers of a cluster.

    Credentials and options are the same for every server of a cluster.

    Raises:
        Misconfigured: the URL cannot be used. The message does not contain the URL, which may hold a
        password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Misconfigured("REDIS_URL cannot be used: ValueError") from None
    if not parts.scheme.endswith(CLUSTER):
        return Scripts(SingleServer(connect_redis(url)))
    credentials, at, hosts = parts.netloc.rpartition("@")
    alone = parts._replace(scheme=parts.scheme.removesuffix(CLUSTER))

    def named(host: str) -> str:
        return urlunsplit(alone._replace(netloc=f"{credentials}{at}{host}"))

    def at_address(address: Address) -> str:
        host, port = address
        return named(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    return Scripts(Cluster([named(host) for host in hosts.split(",")], at_address))
