"""What was settled when the database was made: one document that every worker of it agrees with.

It also has the leases of the workers (`leases.py`), and a mark while the grid is changed (`regridding.py`).
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
"""Of the document that says which relay leads, and how far it has come (`relay_lease.py`)."""
VERSION = 4
"""Of the shape of the data. A release that changes it migrates, and counts it up."""
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
    """Read what was settled, and renew the lease of a worker that fits it.

    If nothing was settled yet, settle `wanted`, or a grid of so many minutes and a new secret.

    Raises:
        Misconfigured: it does not fit this worker, which has no lease then; the line says what to do.
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
        except DuplicateKeyError:  # of many workers that start at once, another was faster
            continue
    if found["version"] != VERSION:
        raise Misconfigured(OTHER_VERSION.format(found["version"]))
    if mark := found.get("regridding"):
        raise Misconfigured(
            f"A change of the grid is unfinished: repeat {regrid_command(**mark)}, "
            f"then set SLOT_MINUTES={mark['minutes']}"
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
    """The command that changes the grid to cells of `minutes`, as a person types it."""
    given = "" if duration is None else f" --duration {duration}"
    return f"python -m booking_worker.regrid --minutes {minutes}{given}"


def _settling(meta: Meta, lease: Lease | None) -> list[Document]:
    """A pipeline: settle what is not settled, and renew a lease if its worker fits."""
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
