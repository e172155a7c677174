"""A Redis Cluster of three masters, and replicas, on this machine."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis as Client
from redis.crc import key_slot

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.redis import Redis
from tests.slots import fresh_site
from tests.stack import wait_until

MASTERS = 3
SLOTS = 16_384
# After this time without an answer, the other masters mark a master as failed.
SILENT_MS = 1000


class Master(Redis):
    """One master of the cluster. The other masters keep serving their slots while it is down."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.bus_port = free_port()

    def options(self, port: int) -> list[str]:
        settings = {
            "cluster-enabled": "yes",
            "cluster-port": str(self.bus_port),
            "cluster-node-timeout": str(SILENT_MS),
            "cluster-require-full-coverage": "no",
        }
        cluster = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return [*super().options(port), *cluster]

    def client(self) -> Client:
        """Open a client of this master alone."""
        return Client(host=LOOPBACK, port=self.port, decode_responses=True)

    def keys(self) -> int:
        """Count its keys, except the lists of resources with holds, which only expire."""
        with self.client() as client:
            return sum(not str(key).startswith("held_resources:") for key in client.scan_iter())

    def knows_all(self) -> bool:
        """Return whether it serves and knows the owners of all slots."""
        with self.client() as client:
            owners = {tuple(row[2][:2]) for row in client.execute_command("CLUSTER SLOTS")}
            return client.cluster("INFO")["cluster_state"] == "ok" and len(owners) == MASTERS

    def knows(self, other: "Master") -> bool:
        """Return whether it has met another node."""
        with self.client() as client, other.client() as its:
            nodes = client.cluster("NODES").values()
            return its.cluster("MYID") in [node["node_id"] for node in nodes]

    def has_slots(self) -> bool:
        """Return whether it owns some slots."""
        with self.client() as client:
            owners = [tuple(row[2][:2]) for row in client.execute_command("CLUSTER SLOTS")]
        return (LOOPBACK, self.port) in owners

    def follows(self, master: "Master") -> bool:
        """Return whether it is a replica of a master and in sync with it."""
        with self.client() as client:
            replication = client.info("replication")
        return (replication.get("master_port"), replication.get("master_link_status")) == (master.port, "up")

    def misses(self, other: "Master") -> bool:
        """Return whether it marks another node as failed."""
        with self.client() as client:
            nodes = client.cluster("NODES")
        return "fail" in nodes[f"{LOOPBACK}:{other.port}"]["flags"].split(",")


class RedisCluster:
    """Three masters, each with a third of the slots."""

    def __init__(self, masters: list[Master]) -> None:
        self.masters = masters

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'{LOOPBACK}:{master.port}' for master in self.masters)}"

    def site_on(self, master: Master) -> str:
        """Return a fresh site whose keys are on this master, unless its slots have moved."""
        while self.masters[key_slot((site := fresh_site()).encode()) * MASTERS // SLOTS] is not master:
            pass
        return site

    def begin_move(self, site: str, old: Master, new: Master) -> None:
        """Begin to migrate the hash slot of a site to another master, without its keys."""
        slot = key_slot(site.encode())
        with old.client() as source, new.client() as target:
            target.cluster("SETSLOT", slot, "IMPORTING", source.cluster("MYID"))
            source.cluster("SETSLOT", slot, "MIGRATING", target.cluster("MYID"))

    def move(self, site: str, old: Master, new: Master) -> None:
        """Migrate the hash slot of a site, with all of its keys, to another master."""
        self.begin_move(site, old, new)
        slot = key_slot(site.encode())
        with old.client() as source, new.client() as target:
            new_id = target.cluster("MYID")
            if keys := source.cluster("GETKEYSINSLOT", slot, 1000):
                source.migrate(LOOPBACK, new.port, keys, 0, 5000)
            for client in (target, source):
                client.cluster("SETSLOT", slot, "NODE", new_id)

    @contextmanager
    def replica_of(self, master: Master, folder: Path) -> Iterator[Master]:
        """Start a replica that takes over from its master once the master is lost."""
        with Master(folder) as replica, replica.client() as client:
            client.cluster("MEET", LOOPBACK, master.port, master.bus_port)
            wait_until(lambda: replica.knows(master), "the replica knows its master")
            with master.client() as source:
                client.cluster("REPLICATE", source.cluster("MYID"))
            wait_until(lambda: replica.follows(master), "the replica is in sync with its master")
            wait_until(
                lambda: all(node.knows(replica) for node in self.masters), "all masters know the replica"
            )
            yield replica

    def _form(self) -> None:
        for number, master in enumerate(self.masters):
            first, end = (-(-n * SLOTS // MASTERS) for n in (number, number + 1))
            with master.client() as client:
                client.cluster("ADDSLOTSRANGE", first, end - 1)
                client.cluster("SET-CONFIG-EPOCH", number + 1)
                for other in self.masters[:number]:
                    client.cluster("MEET", LOOPBACK, other.port, other.bus_port)
        wait_until(lambda: all(master.knows_all() for master in self.masters), "the cluster is formed")


@contextmanager
def redis_cluster(folder: Path) -> Iterator[RedisCluster]:
    """Start a new cluster, and wait until all slots are served."""
    with ExitStack() as running:
        masters = [running.enter_context(Master(folder / f"redis-{n}")) for n in range(MASTERS)]
        cluster = RedisCluster(masters)
        cluster._form()
        yield cluster
