"""The indexes and the grid that the promises rest on: verified before a worker serves, and watched after."""

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
"""Between looks while something is wrong."""
CHECK_SECONDS = 5.0
GIVE_UP_SECONDS = 1.0
VALID_SECONDS = 5.0
"""How long after a look began it counts: nothing is confirmed later than that without another."""

DOUBT_SECONDS = 0.25
"""How long a look after a failed command may take before the worker leaves its commands to others.

A command can fail for its own short deadline, so a failure alone proves nothing.
"""
LEAST_BETWEEN_SECONDS = 0.1
"""Between two looks, however many commands fail."""
LASTING_SECONDS = 1.5
"""A worker takes new commands only if the last look counts for so long."""
UNANSWERED = "MongoDB does not answer"

log = structlog.get_logger()


class Schema:
    """Whether the indexes are known to be there (`verified`), and what is wrong with MongoDB (`problem`).

    `on_change` is called whenever that may have changed.
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
        """Whether a command that comes now can be confirmed, as far as anybody knows."""
        return self.problem is None

    @property
    def answers(self) -> bool:
        """Whether MongoDB answered the last look."""
        return self._problem != UNANSWERED

    @property
    def clock_problem(self) -> str | None:
        """What is wrong with this host's clock, as the last look has measured it."""
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
        """Let a command through only while the indexes are known to be there.

        Raises:
            NotReady
        """
        if not self.verified:
            raise NotReady

    def suspect_of(self, outcomes: Iterable[object]) -> None:
        """Look at MongoDB at once if a command has failed for it."""
        for outcome in outcomes:
            if isinstance(outcome, NoPrimary | OutcomeUnknown):
                self.suspect(outcome)

    def suspect(self, error: NoPrimary | OutcomeUnknown) -> None:
        """Look at MongoDB at once, since a command has failed.

        Take it for lost meanwhile if it has no primary, or if the look takes longer than `DOUBT_SECONDS`.
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
        """Create what is absent, verify all of it, and wait for MongoDB as long as that takes.

        Raises:
            Misconfigured: the database was set up differently, which a person has to decide.
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
        """Verify again every second: what is lost stops the worker from serving until it is back."""
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
            if not self._suspected.is_set():  # else a command has failed since this look began
                self._end_doubt()
            self.on_change()
            await asyncio.sleep(max(0.0, began + LEAST_BETWEEN_SECONDS - time.monotonic()))

    async def give_up_lease(self) -> None:
        """End this process's lease, so that the grid may be changed at once; without an answer, it lapses."""
        if self._settling and not self._settling.done():  # the driver's thread would take it again
            await asyncio.wait({self._settling}, timeout=GIVE_UP_SECONDS)
        with suppress(PyMongoError), pymongo.timeout(GIVE_UP_SECONDS):
            await give_up(self._database, self._lease)

    async def _check(self) -> None:
        try:
            while absent := await self._look():
                for name in absent:  # not bounded: a large collection takes its time
                    await indexes.create(self._database, name)
        except indexes.Duplicated as error:
            if self._problem != str(error):
                with suppress(PyMongoError):
                    await log_duplicates(self._database, indexes.INDEXES[error.index]["key"])
            self._report_lost(str(error))
        except PyMongoError as error:
            # The indexes are not known to be gone: the last look counts until its time is up.
            # A server that is away comes back by itself; what else there is may need a person.
            self._report(_describe(error), level="warning")

    async def _look(self) -> list[str]:
        """The indexes to make; where there is none to make, all is verified for `VALID_SECONDS`."""
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
    """In words that cannot contain a document."""
    if isinstance(error, OperationFailure) and not error.timeout:
        return f"MongoDB refuses: {(error.details or {}).get('codeName', error.code)}"
    return UNANSWERED
