"""Read and settle `meta`: the one document of settings that all workers of a database agree on.

It also has the leases of the workers (`leases.py`), and the record of an unfinished change of the grid
(`regridding.py`).
"""

import secrets
from dataclasses import dataclass
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from shared.process.settings import Misconfigured
from shared.stores.mongo.answered import answered
from shared.stores.mongo.connection import Database, Document
from shared.stores.mongo.leases import Lease

COLLECTION = "meta"
ID = "settled"
RELAY_ID = "relay"
"""The id of the document with the leading relay and its progress (`relay_lease.py`)."""
VERSION = 4
"""The version of the data's shape. A release that changes the shape migrates the data and increments it."""
SECRET_BYTES = 32
OTHER_VERSION = (
    "The database has data of version {}, and this release reads version "
    f"{VERSION}: run the release that made it, migrate, or name another database in MONGO_URI"
)


@dataclass(frozen=True)
class Meta:
    """The grid, and the random secret of the deployment's digests."""

    slot_minutes: int
    secret: bytes


async def settle(database: Database, wanted: Meta | int, lease: Lease | None = None) -> Meta:
    """Read the settled values, and renew the lease of a worker that fits them.

    Args:
        database: the database.
        wanted: the values to settle if `meta` is absent: a `Meta`, or the minutes of a cell (with a new
        secret).
        lease: the worker's lease, if it has one.

    Raises:
        Misconfigured: the values do not fit this worker, which then has no lease. The message explains the
        remedy.
    """
    meta = wanted if isinstance(wanted, Meta) else Meta(wanted, secrets.token_bytes(SECRET_BYTES))
    collection = database.get_collection(COLLECTION)
    if not isinstance(wanted, Meta) and await collection.find_one({"_id": {"$nin": [ID, RELAY_ID]}}):
        raise Misconfigured(OTHER_VERSION.format("0"))
    while True:
        try:
            found = await collection.find_one_and_update(
                {"_id": ID}, _settling(meta, lease), upsert=True, return_document=ReturnDocument.AFTER
            )
            break
        except DuplicateKeyError:  # another worker that started at the same time was faster
            continue
    if found["version"] != VERSION:
        raise Misconfigured(OTHER_VERSION.format(found["version"]))
    if unfinished := found.get("regridding"):
        raise Misconfigured(
            f"A change of the grid is unfinished: repeat {regrid_command(**unfinished)}, "
            f"then set SLOT_MINUTES={unfinished['minutes']}"
        )
    if found["slotMinutes"] != meta.slot_minutes:
        raise Misconfigured(
            f"SLOT_MINUTES is {meta.slot_minutes}, but the database was made with {found['slotMinutes']}: "
            f"set SLOT_MINUTES={found['slotMinutes']}, or start on fresh data (another database in "
            "MONGO_URI, or another --data of the local stack), or change its grid with "
            + regrid_command(meta.slot_minutes)
        )
    if isinstance(wanted, Meta) and found["secret"] != wanted.secret:
        raise Misconfigured("The database's secret is another than when this worker started: start it anew")
    return Meta(found["slotMinutes"], bytes(found["secret"]))


async def is_settled(database: Database) -> bool:
    """Return whether a worker has settled the database, in the version of this release.

    Raises:
        Misconfigured: it was settled in another version.
        Unanswered
    """
    with answered():
        found = await database.get_collection(COLLECTION).find_one({"_id": ID}, {"version": 1})
    if found is not None and found["version"] != VERSION:
        raise Misconfigured(OTHER_VERSION.format(found["version"]))
    return found is not None


async def give_up(database: Database, lease: Lease) -> None:
    """End a lease before its time."""
    await database.get_collection(COLLECTION).update_one({"_id": ID}, lease.given_up())


def regrid_command(minutes: int, duration: int | None = None) -> str:
    """Return the command line that changes the grid to cells of `minutes`."""
    given = "" if duration is None else f" --duration {duration}"
    return f"python -m booking_worker.regrid --minutes {minutes}{given}"


def _settling(meta: Meta, lease: Lease | None) -> list[Document]:
    """Return a pipeline that settles the absent fields and renews the lease if its worker fits."""
    settled = {"version": VERSION, "slotMinutes": meta.slot_minutes, "secret": meta.secret}
    stages: list[Document] = [
        {"$set": {name: {"$ifNull": [f"${name}", value]} for name, value in settled.items()}}
    ]
    if lease:
        fits: dict[str, Any] = {
            "$and": [
                {"$eq": ["$version", VERSION]},
                {"$eq": ["$slotMinutes", meta.slot_minutes]},
                {"$not": ["$regridding"]},
            ]
        }
        stages.append({"$set": {"leases": {"$cond": [fits, lease.renewed(), "$leases"]}}})
    return stages
