"""The indexes and the grid that the promises rest on: verified before a worker serves, and watched after."""

import asyncio
from contextlib import suppress

import pymongo
import structlog
from pymongo import ReturnDocument
from pymongo.errors import OperationFailure, PyMongoError

from shared.contract.errors import NotExecuted
from shared.process.settings import Misconfigured
from shared.stores.mongo import indexes
from shared.stores.mongo.connection import Database, is_standalone
from shared.stores.mongo.duplicates import log_duplicates

WATCH_SECONDS = 1.0
CHECK_SECONDS = 5.0

log = structlog.get_logger()


class Schema:
    """Whether the indexes are there (`verified`), and what is wrong with MongoDB (`problem`)."""

    def __init__(self, database: Database, slot_minutes: int) -> None:
        self._database = database
        self._slot_minutes = slot_minutes
        self.verified = False
        self.problem: str | None = "not verified yet"

    def require(self) -> None:
        """Let a command through only while the indexes are known to be there.

        Raises:
            NotExecuted
        """
        if not self.verified:
            raise NotExecuted("The booking database is not ready; nothing was done")

    async def wait_until_verified(self) -> None:
        """Create what is absent, verify all of it, and wait for MongoDB as long as that takes.

        Raises:
            Misconfigured: the database was set up differently, which a person has to decide.
        """
        while True:
            await self._check()
            if self.verified:
                with suppress(PyMongoError):
                    if await is_standalone(self._database):
                        log.warning(
                            "mongodb_is_standalone", effect="no retryable writes; a replica set is the norm"
                        )
                return
            await asyncio.sleep(WATCH_SECONDS)

    async def watch(self) -> None:
        """Verify again every second: what is lost stops the worker from serving until it is back."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self._check()
            except Misconfigured as error:
                self._report(str(error), verified=False)
            except Exception:
                log.exception("database_check_failed")
                self._report("cannot be verified", verified=False)

    async def _check(self) -> None:
        try:
            with pymongo.timeout(CHECK_SECONDS):
                await self._verify_grid()
                absent = await indexes.find_absent(self._database)
            if self.verified:  # and serving: what is not unique decides nothing, and waits for a next start
                absent = [name for name in absent if "unique" in indexes.INDEXES[name]]
                if absent:
                    self._report(f"index {absent[0]} is gone", verified=False)
            for name in absent:  # not bounded: a large collection takes its time, and a new start loses it
                await indexes.create(self._database, name)
        except indexes.Duplicated as error:
            if self.problem != str(error):
                with suppress(PyMongoError):
                    await log_duplicates(self._database, indexes.INDEXES[error.index]["key"])
            self._report(str(error), verified=False)
        except PyMongoError as error:
            # The indexes are not known to be gone, and nothing can be booked either while this lasts.
            # A server that is away comes back by itself; what else there is may need a person.
            self._report(_describe(error), verified=self.verified, level="warning")
        else:
            self._report(None, verified=True)

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

    def _report(self, problem: str | None, *, verified: bool, level: str = "error") -> None:
        self.verified = verified
        if problem != self.problem:
            self.problem = problem
            if problem is None:
                log.info("database_verified")
            else:
                getattr(log, level)("database_not_ready", problem=problem)


def _describe(error: PyMongoError) -> str:
    """In words that cannot contain a document."""
    if isinstance(error, OperationFailure) and not error.timeout:
        return f"MongoDB refuses: {(error.details or {}).get('codeName', error.code)}"
    return "MongoDB does not answer"
