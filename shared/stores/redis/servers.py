"""What `REDIS_URL` names: one Redis, or a cluster."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from shared.contract.errors import Refused
from shared.process.settings import Misconfigured
from shared.stores.redis.cluster import Address, Cluster
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.scripts import AnswerT, ItemT, Scripts

CLUSTER = "+cluster"


class Servers(Protocol):
    """The servers that have the keys of all sites: one Redis, or the masters of a cluster."""

    async def apart(
        self,
        items: Sequence[ItemT],
        site_of: Callable[[ItemT], str],
        do: Callable[[Scripts, Sequence[ItemT]], Awaitable[Sequence[AnswerT]]],
    ) -> list[AnswerT | Refused]:
        """`do` something for the items of each server, by themselves.

        Returns:
            An answer for each, in their order; of several servers, what `do` raised for the items of one.

        Raises:
            Refused: as `do` does, where there is one server.
        """

    async def ping(self) -> None:
        """Ask all of them whether they are there.

        Raises:
            HoldsUnreachable: one is not.
        """

    async def any_answers(self) -> bool:
        """Ask all of them whether they are there; whether one is."""

    async def problem(self) -> str | None:
        """What is wrong with one that answers: it may evict holds. None if nothing is known to be.

        Raises:
            HoldsUnreachable: one does not answer.
        """

    async def delete_all(self, kinds: Collection[str]) -> int:
        """Delete every key of some kinds (`keys.py`) on all of them, and count them.

        Raises:
            HoldsUnreachable: one is not there; some keys may be deleted.
        """

    async def aclose(self) -> None:
        """Close all connections."""


def open_redis(url: str) -> Servers:
    """`redis://HOST:PORT`, or `redis+cluster://HOST:PORT,HOST:PORT`: some servers of a cluster, for a start.

    Credentials and options are the same for every server of a cluster.

    Raises:
        Misconfigured: the URL cannot be used; the line does not repeat it, since it may hold a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Misconfigured("REDIS_URL cannot be used: ValueError") from None
    if not parts.scheme.endswith(CLUSTER):
        return Scripts(connect_redis(url))
    credentials, at, hosts = parts.netloc.rpartition("@")
    alone = parts._replace(scheme=parts.scheme.removesuffix(CLUSTER))

    def named(host: str) -> str:
        return urlunsplit(alone._replace(netloc=f"{credentials}{at}{host}"))

    def at_address(address: Address) -> str:
        host, port = address
        return named(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    return Cluster([named(host) for host in hosts.split(",")], at_address)
