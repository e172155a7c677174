"""Initiates the replica set that `MONGO_URI` names, once: `python -m deploy.initiate`.

Not a script for the database's own shell, which not every MongoDB image has.
"""

import os
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

ALREADY_INITIALIZED = 23
PATIENCE_MS = 60_000


def initiate(uri: str) -> None:
    """Make the hosts of `uri` a replica set unless they are one, and wait until it takes writes.

    Raises:
        ValueError: `uri` names no replica set.
        PyMongoError: a host does not answer, or no primary is elected.
    """
    parsed = parse_uri(uri)
    name, hosts = parsed["options"].get("replicaSet"), [f"{host}:{port}" for host, port in parsed["nodelist"]]
    if not name:
        raise ValueError("it names no replicaSet")
    members = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
    with _client(hosts[0], directConnection=True) as first:
        try:
            first.admin.command("replSetInitiate", {"_id": name, "members": members})
        except OperationFailure as error:
            if error.code != ALREADY_INITIALIZED:
                raise
    with _client(uri) as replica_set:
        replica_set.admin.command("ping")


def _client(address: str, **options: Any) -> MongoClient[dict[str, Any]]:
    return MongoClient(address, serverSelectionTimeoutMS=PATIENCE_MS, **options)


if __name__ == "__main__":
    try:
        initiate(os.environ.get("MONGO_URI", ""))
    except (PyMongoError, ValueError) as error:
        raise SystemExit(f"MONGO_URI: the replica set cannot be initiated: {error}") from None
