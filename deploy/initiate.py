"""Initiate the replica set that `MONGO_URI` names, and write its users: `python -m deploy.initiate`.

With `--users FOLDER` it writes the users of `mongo_users.py`, with the passwords of the files
`mongo_uri_<user>` in that folder; `MONGO_URI` is then the administrator's. With `--at HOST:PORT` it finds the
first member there: MongoDB lets only its own host create the first user.

This is no script for the database's own shell, because not every MongoDB image has one.
"""

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from deploy.mongo_users import ROLES, create_administrator, write_users
from shared.process.secret_files import UnusableSecret, read_secret

ALREADY_INITIALIZED = 23
UNAUTHORIZED = 13
"""Of a client without a password: there are users, so the set has been initiated."""
PATIENCE_MS = 60_000
DEFAULT_DATABASE = "booking"


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
        if error.code not in {ALREADY_INITIALIZED, UNAUTHORIZED}:
            raise


def initiate_as_named(uri: str, at: str | None = None, users: Path | None = None) -> None:
    """Make the hosts of `uri` the replica set that it names, and wait until the set accepts writes.

    Args:
        uri: of the set.
        at: the address of the first member, if not that in `uri`.
        users: the folder with the URIs of the users to write.

    Raises:
        ValueError: `uri` cannot be parsed, or names no replica set (NamesNoSet).
        PyMongoError: a host does not answer, or no primary is elected.
        OSError: the URI of a user cannot be read.
    """
    parsed = parse_uri(uri)
    name, hosts = parsed["options"].get("replicaSet"), [f"{host}:{port}" for host, port in parsed["nodelist"]]
    if not name:
        raise NamesNoSet
    uris = {role: (users / f"mongo_uri_{role}").read_text().strip() for role in ROLES} if users else {}
    tls = {option: value for option, value in parsed["options"].items() if option.startswith("tls")}
    with _client(at or hosts[0], directConnection=True, **tls) as first:
        initiate(first, name, hosts)
        if users:
            _wait_for_primary(first)
            create_administrator(first, uri)
    with _client(uri) as replica_set:
        replica_set.admin.command("ping")
        if users:
            write_users(replica_set, parsed["database"] or DEFAULT_DATABASE, uris)


def _client(address: str, **options: Any) -> MongoClient[dict[str, Any]]:
    return MongoClient(address, serverSelectionTimeoutMS=PATIENCE_MS, **options)


def _wait_for_primary(member: MongoClient[dict[str, Any]]) -> None:
    ends = time.monotonic() + PATIENCE_MS / 1000
    while not member.admin.command("hello")["isWritablePrimary"]:
        if time.monotonic() > ends:
            raise ConnectionFailure
        time.sleep(0.05)


def reason(error: Exception) -> str:
    """Describe an error without the driver's text, which may contain parts of a malformed URI's password."""
    if isinstance(error, NamesNoSet):
        return "it names no replicaSet"
    if isinstance(error, OperationFailure):
        return f"MongoDB refuses it ({(error.details or {}).get('codeName', error.code)})"
    if isinstance(error, ConnectionFailure):
        return f"no host answered as a member in {PATIENCE_MS // 1000} s"
    if isinstance(error, OSError):
        return f"the URI of a user cannot be read: {error.strerror}"
    return f"it is no URI of MongoDB ({type(error).__name__}); a password must be percent-encoded"


def main() -> None:
    """Run the command line; a failure prints one line, without any part of a password, and exits with 1."""
    parser = argparse.ArgumentParser(prog="python -m deploy.initiate")
    parser.add_argument("--at", metavar="HOST:PORT", help="where the first member is")
    parser.add_argument("--users", type=Path, metavar="FOLDER", help="write its users (mongo_uri_<user>)")
    given = parser.parse_args()
    try:
        initiate_as_named(read_secret("MONGO_URI") or "", given.at, given.users)
    except UnusableSecret as error:
        raise SystemExit(str(error)) from None
    except (PyMongoError, ValueError, OSError) as error:
        raise SystemExit(f"MONGO_URI: the replica set cannot be initiated: {reason(error)}") from None


if __name__ == "__main__":
    main()
