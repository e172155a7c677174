"""The indexes and the grid that the promises rest on: verified before a worker serves, and watched after."""

import asyncio
from contextlib import suppress
from typing import Any

import pymongo
import structlog
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from shared.errors import NotExecuted
from shared.settings import Misconfigured
from shared.stores.bookings import COLLECTION, STATUS_BOOKED
from shared.stores.duplicates import log_duplicates
from shared.stores.mongodb import Database, Document

WATCH_SECONDS = 1.0
CHECK_SECONDS = 5.0
NAMESPACE_NOT_FOUND = 26

INDEXES: dict[str, dict[str, Any]] = {
    "one_booking_per_slot": {
        "key": {"resource": 1, "occupies": 1},
        "unique": True,
        "partialFilterExpression": {"status": STATUS_BOOKED},
    },
    "one_booking_per_key": {"key": {"resource": 1, "idempotencyKey": 1}, "unique": True},
    "by_slot": {"key": {"resource": 1, "slot": 1}},
}
_NOT_OPTIONS = {"v", "name", "ns", "background"}

log = structlog.get_logger()


class Duplicated(Exception):
    """Several active bookings cover one slot, so that the unique index cannot be made."""


class Schema:
    """Whether the indexes are there (`guaranteed`), and what is wrong with MongoDB (`problem`)."""

    def __init__(self, database: Database, slot_minutes: int) -> None:
        self._database = database
        self._slot_minutes = slot_minutes
        self.guaranteed = False
        self.problem: str | None = "not verified yet"

    def require(self) -> None:
        """Let a command through only while the indexes are known to be there.

        Raises:
            NotExecuted
        """
        if not self.guaranteed:
            raise NotExecuted("The booking database is not ready; nothing was done")

    async def wait_until_verified(self) -> None:
        """Create what is absent, verify all of it, and wait for MongoDB as long as that takes.

        Raises:
            Misconfigured: the database was set up differently, which a person has to decide.
        """
        while True:
            await self._check()
            if self.guaranteed:
                with suppress(PyMongoError):
                    await self._warn_of_standalone()
                return
            await asyncio.sleep(WATCH_SECONDS)

    async def watch(self) -> None:
        """Verify again every second: what is lost stops the worker from serving until it is back."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self._check()
            except Misconfigured as error:
                self._report(str(error), guaranteed=False)
            except Exception:
                log.exception("database_check_failed")
                self._report("cannot be verified", guaranteed=False)

    async def _check(self) -> None:
        try:
            with pymongo.timeout(CHECK_SECONDS):
                await self._verify_grid()
                absent = await self._find_absent()
            if absent and self.guaranteed:  # at a first start, an absent index is nothing to report
                self._report(f"index {absent[0]} is gone", guaranteed=False)
            for name in absent:  # not bounded: a large collection takes its time, and a new start loses it
                await self._create(name, INDEXES[name])
        except Duplicated as error:
            self._report(str(error), guaranteed=False)
        except PyMongoError as error:
            # The indexes are not known to be gone, and nothing can be booked either while this lasts.
            self._report(_describe(error), guaranteed=self.guaranteed)
        else:
            self._report(None, guaranteed=True)

    async def _find_absent(self) -> list[str]:
        """The indexes that are not there, or still being built: until then they guarantee nothing.

        Raises:
            Misconfigured: one is there with other options.
        """
        try:
            listed = await self._database.command("listIndexes", COLLECTION, includeBuildUUIDs=True)
        except OperationFailure as error:
            if error.code == NAMESPACE_NOT_FOUND:
                return list(INDEXES)
            raise
        # One that is being built is listed as {"spec": {...}, "buildUUID": ...}.
        built = [index for index in listed["cursor"]["firstBatch"] if "spec" not in index]
        found = {index["name"]: _options(index) for index in built}
        for name in INDEXES.keys() & found.keys():
            if found[name] != INDEXES[name]:
                raise Misconfigured(f"MongoDB index {name} has other options than it must have")
        return [name for name in INDEXES if name not in found]

    async def _create(self, name: str, wanted: dict[str, Any]) -> None:
        options = {option: value for option, value in wanted.items() if option != "key"}
        collection = self._database.get_collection(COLLECTION)
        try:
            await collection.create_index(list(wanted["key"].items()), name=name, **options)
        except DuplicateKeyError:
            if self.problem != (problem := f"index {name} cannot be made: there are duplicates"):
                await log_duplicates(self._database, wanted["key"])
            raise Duplicated(problem) from None
        except OperationFailure as error:
            if error.code in {85, 86}:  # IndexOptionsConflict, IndexKeySpecsConflict
                raise Misconfigured(f"MongoDB has another index with the keys or name of {name}") from None
            raise
        log.info("index_created", index=name)

    async def _verify_grid(self) -> None:
        grid = await self._database.get_collection("meta").find_one_and_update(
            {"_id": "grid"},
            {"$setOnInsert": {"slotMinutes": self._slot_minutes}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        if grid["slotMinutes"] != self._slot_minutes:
            raise Misconfigured(
                f"SLOT_MINUTES is {self._slot_minutes}, but the database was made with {grid['slotMinutes']}"
            )

    async def _warn_of_standalone(self) -> None:
        hello = await self._database.client.admin.command("hello")
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            log.warning("mongodb_is_standalone", effect="no retryable writes; a replica set is the norm")

    def _report(self, problem: str | None, *, guaranteed: bool) -> None:
        self.guaranteed = guaranteed
        if problem != self.problem:
            self.problem = problem
            if problem is None:
                log.info("database_verified")
            else:  # a server that is away comes back by itself; a lost index may need a person
                level = log.warning if guaranteed else log.error
                level("database_not_ready", problem=problem)


def _describe(error: PyMongoError) -> str:
    """In words that cannot contain a document."""
    if isinstance(error, OperationFailure):
        return f"MongoDB refuses: {(error.details or {}).get('codeName', error.code)}"
    return "MongoDB does not answer"


def _options(index: Document) -> dict[str, Any]:
    options = {option: value for option, value in index.items() if option not in _NOT_OPTIONS}
    return {**options, "key": dict(index["key"])}
