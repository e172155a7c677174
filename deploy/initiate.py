"""Initiates the replica set that `MONGO_URI` names, once: `python -m deploy.initiate`.

Not a script for the database's own shell, which not every MongoDB image has.
"""

import os
from collections.abc import Iterable
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

ALREADY_INITIALIZED = 23
PATIENCE_MS = 60_000


def initiate(member: MongoClient[dict[str, Any]], name: str, hosts: Iterable[str], **settings: int) -> None:
    """Make `hosts` (`host:port`) the replica set `name`, unless they are one. It has no primary yet.

    `member` is connected to one of them directly; `settings` are those of the set, as MongoDB calls them.

    Raises:
        PyMongoError: a host does not answer, or has another set.
    """
    members = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
    try:
        member.admin.command("replSetInitiate", {"_id": name, "members": members, "settings": settings})
    except OperationFailure as error:
        if error.code != ALREADY_INITIALIZED:
            raise


def initiate_as_named(uri: str) -> None:
    """Make the hosts of `uri` the replica set that it names, and wait until that takes writes.

    Raises:
        ValueError: `uri` names no replica set.
        PyMongoError: a host does not answer, or no primary is elected.
    """
    parsed = parse_uri(uri)
    name, hosts = parsed["options"].get("replicaSet"), [f"{host}:{port}" for host, port in parsed["nodelist"]]
    if not name:
        raise ValueError("it names no replicaSet")
    with _client(hosts[0], directConnection=True) as first:
        initiate(first, name, hosts)
    with _client(uri) as replica_set:
        replica_set.admin.command("ping")


def _client(address: str, **options: Any) -> MongoClient[dict[str, Any]]:
    return MongoClient(address, serverSelectionTimeoutMS=PATIENCE_MS, **options)


if __name__ == "__main__":
    try:
        initiate_as_named(os.environ.get("MONGO_URI", ""))
    except (PyMongoError, ValueError) as error:
        raise SystemExit(f"MONGO_URI: the replica set cannot be initiated: {error}") from None
