"""What was settled when the database was made: one document that every worker of it agrees with."""

import secrets
from dataclasses import dataclass

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from shared.process.settings import Misconfigured
from shared.stores.mongo.connection import Database

COLLECTION = "meta"
ID = "settled"
VERSION = 3
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


async def settle(database: Database, wanted: Meta | int) -> Meta:
    """What was settled. Where nothing was: `wanted`, or a grid of so many minutes and a new secret.

    Raises:
        Misconfigured: it does not fit this worker; the line says what to do.
    """
    meta = wanted if isinstance(wanted, Meta) else Meta(wanted, secrets.token_bytes(SECRET_BYTES))
    settled = {"version": VERSION, "slotMinutes": meta.slot_minutes, "secret": meta.secret}
    collection = database.get_collection(COLLECTION)
    if not isinstance(wanted, Meta) and await collection.find_one({"_id": {"$ne": ID}}):
        raise Misconfigured(OTHER_VERSION.format("0"))
    while True:
        try:
            found = await collection.find_one_and_update(
                {"_id": ID}, {"$setOnInsert": settled}, upsert=True, return_document=ReturnDocument.AFTER
            )
            break
        except DuplicateKeyError:  # of many workers that start at once, another was faster
            continue
    if found["version"] != VERSION:
        raise Misconfigured(OTHER_VERSION.format(found["version"]))
    if found["slotMinutes"] != meta.slot_minutes:
        raise Misconfigured(
            f"SLOT_MINUTES is {meta.slot_minutes}, but the database was made with {found['slotMinutes']}: "
            f"set SLOT_MINUTES={found['slotMinutes']}, or start on fresh data (another database in "
            "MONGO_URI, or another --data of the local stack)"
        )
    if isinstance(wanted, Meta) and found["secret"] != wanted.secret:
        raise Misconfigured("The database's secret is another than when this worker started: start it anew")
    return Meta(found["slotMinutes"], bytes(found["secret"]))
