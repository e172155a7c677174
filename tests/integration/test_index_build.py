"""An index that is still being built guarantees nothing, so no worker serves until the build is done."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from deploy.local.mongod import Mongod
from deploy.local.ports import free_port
from shared.stores.mongo.indexes import INDEXES
from tests.servers import Servers
from tests.stack import wait_until

FAILPOINT = "hangAfterStartingIndexBuild"


class FailpointMongod(Mongod):
    """A mongod that accepts test commands, such as failpoints."""

    def options(self, port: int) -> list[str]:
        return [*super().options(port), "--setParameter", "enableTestCommands=1"]


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[Mongod]:
    with FailpointMongod(tmp_path) as mongod:
        yield mongod


def test_no_worker_serves_while_an_index_is_built(servers: Servers, mongod: Mongod) -> None:
    """A worker that finds a half-built index waits until it is built, and then serves."""
    with servers.new_stack(MONGO_URI=mongod.url) as stack, MongoClient[dict[str, Any]](mongod.url) as client:
        health = f"http://127.0.0.1:{(port := free_port())}/readyz"
        with index_being_built(client):
            worker = stack.start("booking_worker", WORKER_HTTP_PORT=str(port))
            wait_until(lambda: len(builders(client)) == 2, "the worker waits for the index")
            assert httpx.get(health).status_code == 503
            assert '"serving"' not in worker.log
        stack.wait_serving()
        assert httpx.get(health).status_code == 200


@contextmanager
def index_being_built(client: MongoClient[dict[str, Any]]) -> Iterator[None]:
    """Start to build the index of claims, and finish it only when the context ends."""
    appointments = client.get_default_database()["appointments"]
    appointments.insert_one({"site": "s", "idempotencyKey": "k", "status": "cancelled"})
    (slot_index, slot_options), *others = INDEXES.items()
    for name, options in others:
        appointments.create_index(name=name, **_arguments(options))
    arguments = _arguments(slot_options)
    build = threading.Thread(target=lambda: appointments.create_index(name=slot_index, **arguments))
    client.admin.command({"configureFailPoint": FAILPOINT, "mode": "alwaysOn"})
    try:
        build.start()
        wait_until(lambda: len(builders(client)) == 1, "the index is being built")
        yield
    finally:
        client.admin.command({"configureFailPoint": FAILPOINT, "mode": "off"})
        build.join()


def _arguments(options: dict[str, Any]) -> dict[str, Any]:
    others = {option: value for option, value in options.items() if option != "key"}
    return {"keys": list(options["key"].items()), **others}


def builders(client: MongoClient[dict[str, Any]]) -> set[str]:
    """Return the clients that wait for an index build."""
    waiting = {"command.createIndexes": "appointments", "active": True, "client": {"$exists": True}}
    return {
        operation["client"] for operation in client.admin.aggregate([{"$currentOp": {}}, {"$match": waiting}])
    }
