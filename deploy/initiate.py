"""Initiate the replica set that `MONGO_URI` names, once: `python -m deploy.initiate`.

This is no script for the database's own shell, because not every MongoDB image has one.
"""

import os
from collections.abc import Iterable
from typing import Any

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

ALREADY_INITIALIZED = 23
PATIENCE_MS = 60_000


class NamesNoSet(ValueError):
    """`MONGO_URI` names no replica set."""


def initiate(member: MongoClient[dict[str, Any]], name: str, hosts: Iterable[str], **settings: int) -> None:
    """Make `hosts` (`host:port`) the replica set `name`, unless they are one. It has no primary yet.

    Args:
        member: a client with a direct connection to one of the hosts.
        name: the name of the set.
        hosts: its members.
        settings: the set's settings, by MongoDB's names.

    Raises:
        PyMongoError: a host does not answer, or belongs to another set.
    """
    members = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
    try:
        member.admin.command("replSetInitiate", {"_id": name, "members": members, "settings": settings})
    except OperationFailure as error:
        if error.code != ALREADY_INITIALIZED:
            raise


def initiate_as_named(uri: str) -> None:
    """Make the hosts of `uri` the replica set that it names, and wait until the set accepts writes.

    Raises:
        ValueError: `uri` cannot be parsed, or names no replica set (NamesNoSet).
        PyMongoError: a host does not answer, or no primary is elected.
    """
    parsed = parse_uri(uri)
    name, hosts = parsed["options"].get("replicaSet"), [f"{host}:{port}" for host, port in parsed["nodelist"]]
    if not name:
        raise NamesNoSet
    with _client(hosts[0], directConnection=True) as first:
        initiate(first, name, hosts)
    with _client(uri) as replica_set:
        replica_set.admin.command("ping")


def _client(address: str, **options: Any) -> MongoClient[dict[str, Any]]:
    return MongoClient(address, serverSelectionTimeoutMS=PATIENCE_MS, **options)


def reason(error: Exception) -> str:
    """Describe an error without the driver's text, which may contain parts of a malformed URI's password."""
    if isinstance(error, NamesNoSet):
        return "it names no replicaSet"
    if isinstance(error, OperationFailure):
        return f"MongoDB refuses it ({(error.details or {}).get('codeName', error.code)})"
    if isinstance(error, ConnectionFailure):
        return f"no host answered as a member in {PATIENCE_MS // 1000} s"
    return f"it is no URI of MongoDB ({type(error).__name__}); a password must be percent-encoded"


if __name__ == "__main__":
    try:
        initiate_as_named(os.environ.get("MONGO_URI", ""))
    except (PyMongoError, ValueError) as error:
        raise SystemExit(f"MONGO_URI: the replica set cannot be initiated: {reason(error)}") from None
