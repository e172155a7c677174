"""Members of a replica set of three and of a NATS cluster of three."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from deploy.initiate import initiate
from deploy.local.mongod import SET_NAME, Mongod
from deploy.local.nats import Nats
from deploy.local.ports import LOOPBACK, free_port
from shared.stores.mongo.bookings import COLLECTION
from shared.stores.mongo.meta import RELAY_ID

ELECTION_MS = 1500
HEARTBEAT_MS = 500
Document = dict[str, Any]


def direct(port: int) -> MongoClient[Document]:
    """Return a client of one member, in any state."""
    return MongoClient(
        LOOPBACK, port, directConnection=True, serverSelectionTimeoutMS=500, socketTimeoutMS=8000
    )


class MongoNode(Mongod):
    """A member of the replica set. It is up once it answers: the set may have no primary yet."""

    def options(self, port: int) -> list[str]:
        return [*super().options(port), "--setParameter", "enableTestCommands=1"]

    def look(self, port: int) -> str | None:
        try:
            with direct(port) as client:
                client.admin.command("ping")
        except PyMongoError:
            return "does not answer yet"
        return None

    def is_primary(self) -> bool:
        """Whether the member considers itself primary."""
        try:
            with direct(self.port) as client:
                return bool(client.admin.command("hello")["isWritablePrimary"])
        except PyMongoError:
            return False

    def step_down(self, seconds: int) -> None:
        """Make the primary step down."""
        with direct(self.port) as client:
            client.admin.command({"replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": 1, "force": True})

    def fail_commands(self, data: Document, probability: float) -> None:
        """Make commands fail as `data` says, by the failpoint `failCommand`; probability 0 ends it."""
        mode: Any = {"activationProbability": probability} if probability else "off"
        with direct(self.port) as client:
            client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})


def form_set(first: MongoNode, advertised: Sequence[int]) -> None:
    """Form the replica set. Members reach each other by the advertised ports, those of their gates."""
    hosts = [f"{LOOPBACK}:{port}" for port in advertised]
    times = {"electionTimeoutMillis": ELECTION_MS, "heartbeatIntervalMillis": HEARTBEAT_MS}
    with direct(first.port) as client:
        initiate(client, SET_NAME, hosts, **times)


def forget_bookings(uri: str) -> None:
    """Drop all bookings and their indexes, and the relays' progress."""
    with MongoClient[Document](uri) as client:
        database = client.get_default_database()
        database.drop_collection(COLLECTION)
        database["meta"].delete_one({"_id": RELAY_ID})


class NatsNode(Nats):
    """A member of the cluster. It advertises no other member, since clients would bypass its gate."""

    def __init__(
        self, data_dir: Path, routes: Sequence[int], number: int, access: Path | None = None
    ) -> None:
        super().__init__(data_dir, free_port(), access=access)
        self._routes = routes
        self._number = number

    def options(self, port: int) -> list[str]:
        others = [route for n, route in enumerate(self._routes) if n != self._number]
        return [
            *super().options(port),
            *("--name", f"nats-{self._number + 1}", "--cluster_name", "faults", "--no_advertise"),
            *("--cluster", f"nats://{LOOPBACK}:{self._routes[self._number]}"),
            *("--routes", ",".join(f"nats://{LOOPBACK}:{route}" for route in others)),
        ]
