"""The servers that `REDIS_URL` can name."""

import pytest

from shared.process.settings import Misconfigured
from shared.stores.redis.cluster import Cluster
from shared.stores.redis.server import Server
from shared.stores.redis.servers import SingleServer, open_redis


def kwargs_of(server: Server) -> dict[str, object]:
    connection: dict[str, object] = server._redis.connection_pool.connection_kwargs
    return connection


def test_redis_scheme_means_one_server() -> None:
    """A `redis` URL names one server, which has all keys."""
    assert isinstance(open_redis("redis://localhost:6379")._servers, SingleServer)


def test_cluster_url_applies_its_options_to_every_server() -> None:
    """Credentials and options apply to every server, including masters that are discovered later."""
    cluster = open_redis("rediss+cluster://booking:se%40cret@a:7000,b:7001,[::1]?ssl_cert_reqs=none")._servers
    assert isinstance(cluster, Cluster)
    servers = [*cluster._seeds, cluster._master_at(("c", 7002)), cluster._master_at(("::2", 7003))]
    found = [(kwargs["host"], kwargs.get("port")) for kwargs in map(kwargs_of, servers)]
    assert found == [("a", 7000), ("b", 7001), ("::1", None), ("c", 7002), ("::2", 7003)]
    for kwargs in map(kwargs_of, servers):
        assert (kwargs["username"], kwargs["password"]) == ("booking", "se@cret")
        assert kwargs["ssl_cert_reqs"] == "none"


def test_unusable_url_is_refused_without_its_password() -> None:
    """The line names the variable, and does not repeat its value."""
    for url in (
        "redis://:secret@localhost:no",
        "redis+cluster://:secret@a:1,b:no",
        "redis://:[secret]@localhost",
    ):
        with pytest.raises(Misconfigured, match="^REDIS_URL cannot be used: ValueError$"):
            open_redis(url)
