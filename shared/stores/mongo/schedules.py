"""Read and write `schedules`: one document per resource.

A deleted schedule leaves its version, so that a later one of the same resource has a higher version.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from shared.contract.errors import NotExecuted, OutcomeUnknown
from shared.contract.schedules import Schedule
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.bulk import within
from shared.stores.mongo.connection import Database, Document

COLLECTION = "schedules"


@dataclass(frozen=True)
class StoredSchedule:
    """The document of a resource. `content` is the schedule as JSON; None: it is deleted."""

    site: str
    resource: str
    version: int
    content: dict[str, Any] | None

    @property
    def schedule(self) -> Schedule:
        """The schedule.

        Raises:
            ValueError: another release wrote it, and this one does not know it.
        """
        return Schedule.model_validate(self.content)


class ScheduleStore:
    """The collection `schedules`. Every call is bounded by `timeout` (seconds)."""

    def __init__(self, database: Database, bookings: BookingStore) -> None:
        self._bookings = bookings
        self._latest = database.get_collection(COLLECTION)
        self._committed = self._latest.with_options(read_concern=ReadConcern("majority"))

    async def find_latest(self, site: str, resource: str, *, timeout: float) -> StoredSchedule | None:
        """Read the document to which a compare-and-set refers; a majority may not have it yet.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        await self._bookings.find_primary(timeout=timeout)
        try:
            with within(timeout):
                row = await self._latest.find_one({"_id": _id(site, resource)})
        except (PyMongoError, TimeoutError):
            raise NotExecuted("The schedule could not be read") from None
        return _stored(row) if row else None

    async def write(
        self, before: StoredSchedule | None, after: StoredSchedule, *, timeout: float
    ) -> StoredSchedule | None:
        """Replace a document if it is as it was read; both may be equal: then a majority has it afterwards.

        Returns:
            The document, or None if it was changed since.

        Raises:
            OutcomeUnknown: MongoDB did not answer in time.
        """
        version: Any = before.version if before else {"$exists": False}
        content = {
            "site": after.site,
            "resource": after.resource,
            "version": after.version,
            "schedule": after.content,
            "updatedAt": datetime.now(UTC),
        }
        try:
            with within(timeout):
                row = await self._latest.find_one_and_update(
                    {"_id": _id(after.site, after.resource), "version": version},
                    {"$set": content},
                    upsert=before is None,
                    return_document=ReturnDocument.AFTER,
                )
        except DuplicateKeyError:  # another process inserted it since
            return None
        except (PyMongoError, TimeoutError):
            raise OutcomeUnknown() from None
        return _stored(row) if row else None

    async def versions(self, site: str, *, timeout: float) -> dict[str, int]:
        """Read the versions of all schedules of a site, by resource, the deleted ones too.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        rows = await self._find(_of_site(site), {"resource": 1, "version": 1}, timeout)
        return {row["resource"]: row["version"] for row in rows}

    async def has_enforced(self, *, timeout: float) -> bool:
        """Read whether any site has an enforced schedule.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        return bool(await self._find({"schedule.enforced": True}, {"_id": 1}, timeout, limit=1))

    async def get_many(
        self, site: str, resources: Collection[str], *, timeout: float
    ) -> list[StoredSchedule]:
        """Read the documents of some resources of a site.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        ids = [_id(site, resource) for resource in resources]
        return [_stored(row) for row in await self._find({"_id": {"$in": ids}}, None, timeout)]

    async def page(self, site: str, after: str, limit: int, *, timeout: float) -> list[StoredSchedule]:
        """Read the schedules of a site after a resource, by resource, without the deleted ones.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        query = {**_of_site(site, after), "schedule": {"$ne": None}}
        return [_stored(row) for row in await self._find(query, None, timeout, limit=limit)]

    async def sites(
        self, after: str, among: Collection[str] | None, limit: int, *, timeout: float
    ) -> list[str]:
        """Read the names of the sites after a site that have a schedule, of all or `among` some.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        await self._bookings.find_primary(timeout=timeout)
        site: Document = {"$gt": after} if among is None else {"$gt": after, "$in": sorted(among)}
        pipeline: list[Document] = [
            {"$match": {"site": site, "schedule": {"$ne": None}}},
            {"$group": {"_id": "$site"}},
            {"$sort": {"_id": 1}},
            {"$limit": limit},
        ]
        try:
            with within(timeout):
                return [row["_id"] for row in await self._committed.aggregate(pipeline).to_list(None)]
        except (PyMongoError, TimeoutError):
            raise NotExecuted("The schedules could not be read") from None

    async def _find(
        self, query: Document, projection: Document | None, timeout: float, *, limit: int = 0
    ) -> Sequence[Document]:
        await self._bookings.find_primary(timeout=timeout)
        try:
            with within(timeout):
                found = self._committed.find(query, projection, sort=[("_id", 1)], limit=limit)
                return await found.to_list(None)
        except (PyMongoError, TimeoutError):
            raise NotExecuted("The schedules could not be read") from None


def _id(site: str, resource: str) -> str:
    return f"{site}/{resource}"


def _of_site(site: str, after: str = "") -> Document:
    return {"_id": {"$gt": f"{site}/{after}", "$lt": f"{site}0"}}  # "0" follows "/"


def _stored(row: Document) -> StoredSchedule:
    return StoredSchedule(row["site"], row["resource"], row["version"], row["schedule"])
