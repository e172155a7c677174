"""Verify the indexes and the grid before a worker serves, and watch them afterwards."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import inf

import pymongo
import structlog
from pymongo.errors import OperationFailure, PyMongoError

from shared.contract.errors import NoPrimary, NotReady, OutcomeUnknown
from shared.process.settings import Misconfigured
from shared.stores.metrics import INDEXES_VERIFIED
from shared.stores.mongo import indexes
from shared.stores.mongo.clock import Skew, measure_skew
from shared.stores.mongo.connection import Database, is_standalone
from shared.stores.mongo.duplicates import log_duplicates
from shared.stores.mongo.leases import Lease
from shared.stores.mongo.meta import Meta, give_up, settle
from shared.stores.mongo.read_barrier import forget_old_barriers

WATCH_SECONDS = 1.0
WATCH_AGAIN_SECONDS = 0.25
"""The interval between checks while something is wrong."""
CHECK_SECONDS = 5.0
GIVE_UP_SECONDS = 1.0
VALID_SECONDS = 5.0
"""How long a check counts after its beginning. Without a newer one nothing is confirmed after that."""

DOUBT_SECONDS = 0.25
"""How long a check after a failed command may take before the worker leaves its commands to other workers.

A command can fail because its own deadline is short, so a failure alone proves nothing.
"""
LEAST_BETWEEN_SECONDS = 0.1
"""The least time between two checks, however many commands fail."""
LASTING_SECONDS = 1.5
"""A worker takes new commands only if the last check counts for at least this much longer."""
UNANSWERED = "MongoDB does not answer"

log = structlog.get_logger()


class Schema:
    """The result of the last check: are the indexes `verified`, and which `problem` has MongoDB.

    `on_change` is called whenever one of them may have changed.
    """

    def __init__(self, database: Database, slot_minutes: int) -> None:
        self._database = database
        self._slot_minutes = slot_minutes
        self._meta: Meta | None = None
        self._lease = Lease()
        self._settling: asyncio.Future[Meta] | None = None
        self._valid_until = -inf
        self._has_served = False
        self._problem: str | None = "not verified yet"
        self._skew = Skew()
        self._watched = False
        self._suspected = asyncio.Event()
        self._doubt: asyncio.TimerHandle | None = None
        self._in_doubt = False
        self.on_change: Callable[[], None] = lambda: None
        INDEXES_VERIFIED.set_function(lambda: self.verified)

    @property
    def verified(self) -> bool:
        return time.monotonic() < self._valid_until

    @property
    def problem(self) -> str | None:
        if self._problem is None and self._in_doubt:
            return "is being verified again"
        lapsing = time.monotonic() + LASTING_SECONDS >= self._valid_until
        return self._problem or (f"not verified for {VALID_SECONDS - LASTING_SECONDS} s" if lapsing else None)

    @property
    def can_confirm(self) -> bool:
        """Return whether a command that arrives now can be confirmed, as far as is known."""
        return self.problem is None

    @property
    def answers(self) -> bool:
        """Return whether MongoDB answered the last check."""
        return self._problem != UNANSWERED

    @property
    def clock_problem(self) -> str | None:
        """The problem of this host's clock at the last check, or None."""
        return self._skew.problem

    @property
    def secret(self) -> bytes:
        """The key of the deployment's digests.

        Raises:
            RuntimeError: nothing was verified yet.
        """
        if self._meta is None:
            raise RuntimeError("the database was not verified yet")
        return self._meta.secret

    def require(self) -> None:
        """Return only while the indexes are verified.

        Raises:
            NotReady: they are not.
        """
        if not self.verified:
            raise NotReady

    def suspect_of(self, outcomes: Iterable[object]) -> None:
        """Check MongoDB at once if an outcome is a failure of MongoDB."""
        for outcome in outcomes:
            if isinstance(outcome, NoPrimary | OutcomeUnknown):
                self.suspect(outcome)

    def suspect(self, error: NoPrimary | OutcomeUnknown) -> None:
        """Check MongoDB at once because a command has failed.

        The worker is in doubt meanwhile if there is no primary, or once the check takes longer than
        `DOUBT_SECONDS`.
        """
        if self._watched and not self._suspected.is_set():
            self._suspected.set()
            if isinstance(error, NoPrimary):
                self._begin_to_doubt()
            elif self._doubt is None:
                self._doubt = asyncio.get_running_loop().call_later(DOUBT_SECONDS, self._begin_to_doubt)

    def _begin_to_doubt(self) -> None:
        self._in_doubt = True
        self.on_change()

    def _end_doubt(self) -> None:
        if self._doubt is not None:
            self._doubt.cancel()
        self._doubt, self._in_doubt = None, False

    async def wait_until_verified(self) -> None:
        """Create absent indexes and verify everything; wait for MongoDB as long as that takes.

        Raises:
            Misconfigured: the database was set up differently, and a person has to decide.
        """
        while True:
            await self._check()
            if self.verified:
                self._has_served = True
                with suppress(PyMongoError), pymongo.timeout(CHECK_SECONDS):
                    await forget_old_barriers(self._database)
                    if await is_standalone(self._database):
                        log.warning(
                            "mongodb_is_standalone", effect="no retryable writes; a replica set is the norm"
                        )
                return
            await asyncio.sleep(WATCH_SECONDS)

    async def watch(self) -> None:
        """Check every second. A failed check stops the worker from serving until the problem is solved."""
        self._watched = True
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS if self.can_confirm else WATCH_AGAIN_SECONDS):
                    await self._suspected.wait()
            self._suspected.clear()
            began = time.monotonic()
            try:
                await self._check()
            except Misconfigured as error:
                self._report_lost(str(error))
            except Exception:
                log.exception("database_check_failed")
                self._report_lost("cannot be verified")
            if not self._suspected.is_set():  # else a command has failed since this check began
                self._end_doubt()
            self.on_change()
            await asyncio.sleep(max(0.0, began + LEAST_BETWEEN_SECONDS - time.monotonic()))

    async def give_up_lease(self) -> None:
        """End this process's lease, so that the grid can be changed at once.

        If MongoDB does not answer, the lease lapses.
        """
        if self._settling and not self._settling.done():  # the driver's thread would renew the lease
            await asyncio.wait({self._settling}, timeout=GIVE_UP_SECONDS)
        with suppress(PyMongoError), pymongo.timeout(GIVE_UP_SECONDS):
            await give_up(self._database, self._lease)

    async def _check(self) -> None:
        try:
            while absent := await self._look():
                for name in absent:  # not bounded: building an index of a large collection takes long
                    await indexes.create(self._database, name)
        except indexes.Duplicated as error:
            if self._problem != str(error):
                with suppress(PyMongoError):
                    await log_duplicates(self._database, indexes.INDEXES[error.index]["key"])
            self._report_lost(str(error))
        except PyMongoError as error:
            # The indexes are not known to be gone, so the last check counts until its time is up. A server
            # that is away usually returns by itself; another error may need a person.
            self._report(_describe(error), level="warning")

    async def _look(self) -> list[str]:
        """Check everything; return the indexes to create. If there are none, all is verified for
        `VALID_SECONDS`.
        """
        began = time.monotonic()
        with pymongo.timeout(CHECK_SECONDS):
            wanted = self._meta or self._slot_minutes
            self._settling = asyncio.ensure_future(settle(self._database, wanted, self._lease))
            self._settling.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._meta = await asyncio.shield(self._settling)
            names = indexes.DECIDING if self._has_served else list(indexes.INDEXES)
            absent = await indexes.find_absent(self._database, names)
            self._note_clock(await measure_skew(self._database))
        if self._has_served and absent:
            self._report_lost(f"index {absent[0]} is gone")
        if not absent:
            self._valid_until = began + VALID_SECONDS
            self._report(None)
        return absent

    def _note_clock(self, skew: Skew) -> None:
        before, self._skew = self._skew, skew
        if skew.problem and not before.problem:
            log.error("clock_is_wrong", problem=skew.problem)
        elif before.problem and not skew.problem:
            log.info("clock_is_right")

    def _report_lost(self, problem: str) -> None:
        self._valid_until = -inf
        self._report(problem)

    def _report(self, problem: str | None, *, level: str = "error") -> None:
        if problem != self._problem:
            self._problem = problem
            if problem is None:
                log.info("database_verified")
            else:
                getattr(log, level)("database_not_ready", problem=problem)


def _describe(error: PyMongoError) -> str:
    """Describe an error in words that cannot contain a document."""
    if isinstance(error, OperationFailure) and not error.timeout:
        return f"MongoDB refuses: {(error.details or {}).get('codeName', error.code)}"
    return UNANSWERED
