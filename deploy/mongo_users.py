"""Define the users of MongoDB, each with a role that permits what its process needs, and write them.

`dropDatabase`, deleting rows, reading other databases and managing users are in no role but the
administrator's.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from pymongo import MongoClient
from pymongo.errors import OperationFailure

Client = MongoClient[dict[str, Any]]

ADMIN = "admin"
"""The user and the database that make the others."""
ADMIN_ROLES = ["userAdminAnyDatabase", "clusterAdmin"]
APPOINTMENTS, META, BARRIERS, SCHEDULES = "appointments", "meta", "barriers", "schedules"
_WRITE = ["find", "insert", "update"]
_SETTLE = {META: _WRITE, BARRIERS: _WRITE}
# By role, and by collection of the database of `MONGO_URI`.
ROLES: dict[str, dict[str, list[str]]] = {
    "booking_worker": {
        **_SETTLE,
        APPOINTMENTS: [*_WRITE, "listIndexes", "createIndex"],
        BARRIERS: [*_WRITE, "createIndex"],
        SCHEDULES: _WRITE,
    },
    # Waits until a booking worker has created the indexes.
    "hold_worker": {**_SETTLE, APPOINTMENTS: ["find", "listIndexes"], SCHEDULES: ["find"]},
    # It updates only to erase people's data (`RETAIN_NAMES_DAYS`).
    "relay": {META: _WRITE, APPOINTMENTS: ["find", "update", "changeStream"]},
    # The commands of an operator: a change of the grid (`collMod` sets the validator), erasure, export, and
    # old events again.
    "operator": {
        META: _WRITE,
        APPOINTMENTS: ["find", "update", "collMod", "createCollection"],
        "": ["listCollections"],
    },
}
_OPLOG = {"resource": {"db": "local", "collection": "oplog.rs"}, "actions": ["find"]}
_UNAUTHORIZED, _USER_EXISTS, _ROLE_EXISTS = 13, 51_003, 51_002


def create_administrator(local: Client, uri: str) -> None:
    """Create the user that `uri` names, unless there are users.

    Args:
        local: a client on the host of MongoDB. Without any user, MongoDB trusts that host with the first one
            (the "localhost exception").
        uri: with the name and the password.
    """
    name, password = _credentials(uri)
    try:
        local[ADMIN].command("createUser", name, pwd=password, roles=ADMIN_ROLES)
    except OperationFailure as error:
        if error.code not in {_UNAUTHORIZED, _USER_EXISTS}:
            raise


def write_users(administrator: Client, database: str, uris: Mapping[str, str]) -> None:
    """Write the roles for a database, and one user for each, with the password of its URI.

    A user that exists gets that password.
    """
    admin = administrator[ADMIN]
    for role, rights in ROLES.items():
        privileges: list[dict[str, Any]] = [
            {"resource": {"db": database, "collection": collection}, "actions": actions}
            for collection, actions in rights.items()
        ]
        if role == "relay":
            privileges.append(_OPLOG)
        _write(admin, "Role", role, privileges=privileges, roles=[])
        name, password = _credentials(uris[role])
        _write(admin, "User", name, pwd=password, roles=[role])


def _write(admin: Any, kind: str, name: str, **content: Any) -> None:
    try:
        admin.command(f"create{kind}", name, **content)
    except OperationFailure as error:
        if error.code not in {_USER_EXISTS, _ROLE_EXISTS}:
            raise
        admin.command(f"update{kind}", name, **content)


def _credentials(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return unquote(parts.username or ""), unquote(parts.password or "")
