"""Read bookings and tombstones from MongoDB; `writes.py` writes them.

A read that justifies an answer stands behind the read barrier (`read_barrier.py`).
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

import structlog
from bson.timestamp import Timestamp
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from shared.contract.asked_at import CLOCK_SKEW_MS
from shared.contract.errors import NoPrimary, NotExecuted, OutcomeUnknown
from shared.domain.booking import Booking
from shared.domain.history import Entry, History
from shared.stores.mongo.answered import answered
from shared.stores.mongo.bulk import within
from shared.stores.mongo.connection import Database, Document, aggregate, knows_primary
from shared.stores.mongo.read_barrier import ReadBarrier

COLLECTION = "appointments"
STATUS_BOOKED = "booked"
STATUS_REFUSED = "refused"
"""The status of a tombstone (`writes.py`)."""
PRIMARY_SECONDS = 0.4  # the driver checks its servers every half second, so this covers one check

log = structlog.get_logger()

InSite = tuple[str, str]
"""A site, and an idempotency key or a claim in that site."""


@dataclass(frozen=True)
class Tombstone:
    """A row that reserves an idempotency key and is no booking.

    `version` counts the writes of the row. `asked_at` is the latest moment (Unix ms) at which a caller asked
    for a command with this key that was refused.
    """

    id: str
    version: int
    asked_at: int

    def bars(self, asked_at: int) -> bool:
        """Return whether a command asked for at this moment (Unix ms) may be older than a refused one."""
        return asked_at <= self.asked_at + CLOCK_SKEW_MS


@dataclass(frozen=True)
class Found:
    """Rows that conflict with commands, or that are the result of an earlier attempt.

    The mappings are keyed by booking id, by (site, idempotency key) and by (site, claim).
    """

    by_id: Mapping[str, Booking] = field(default_factory=dict)
    by_key: Mapping[InSite, Booking] = field(default_factory=dict)
    tombstones: Mapping[InSite, Tombstone] = field(default_factory=dict)
    owners: Mapping[InSite, str] = field(default_factory=dict)
    """The ids of active bookings by the (site, claim) pairs that they have."""

    @property
    def booked(self) -> Set[InSite]:
        return self.owners.keys()


class BookingStore:
    """The collection `appointments`. Every call is bounded by `timeout` (seconds)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._latest = database.get_collection(COLLECTION)
        self._committed = self._latest.with_options(read_concern=ReadConcern("majority"))
        self._barrier = ReadBarrier(database, self._committed)

    async def find_primary(self, *, timeout: float) -> None:
        """Wait for a primary if the driver knows of none, at most `PRIMARY_SECONDS`.

        The wait is short, so that the caller can still be sent a 503 in time.

        Raises:
            NoPrimary: no primary was found.
        """
        if not knows_primary(self._database):
            try:
                with within(min(timeout, PRIMARY_SECONDS)):
                    await self._database.client.admin.command("ping")
            except PyMongoError:
                raise NoPrimary from None

    async def get_many(
        self,
        ids: Collection[str],
        *,
        versions: Mapping[str, int] = MappingProxyType({}),
        timeout: float,
    ) -> dict[str, Booking]:
        """Read bookings by id, as a majority has them.

        Args:
            ids: the ids of bookings.
            versions: versions by id that callers know of; an older version is never returned.
            timeout: in seconds.

        Returns:
            The bookings by id, without those that do not exist.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        await self.find_primary(timeout=timeout)
        try:
            with within(timeout):
                rows = await self._committed.find({"_id": {"$in": list(ids)}}).to_list(None)
                found = _bookings(rows, ids)
                # A new primary may not yet have everything that a majority has.
                missing = set(ids) - {row["_id"] for row in rows}
                missing |= {row.id for row in found.values() if row.version < versions.get(row.id, 0)}
                if missing:
                    behind = await self._find_behind_barrier([{"_id": {"$in": list(missing)}}], timeout)
                    found |= _bookings(behind, missing)
        except (PyMongoError, TimeoutError):
            raise NotExecuted("The booking could not be read") from None
        return found

    async def find(
        self,
        *,
        ids: Set[str] = frozenset(),
        keys: Collection[InSite] = (),
        claims: Collection[InSite] = (),
        timeout: float,
    ) -> Found:
        """Read the rows with some ids or keys, and the owners of some claims, behind the read barrier.

        Args:
            ids: ids of bookings.
            keys: (site, idempotency key) pairs.
            claims: (site, claim) pairs; only active bookings own a claim.
            timeout: in seconds.

        Raises:
            NoPrimary, OutcomeUnknown: MongoDB did not answer in time.
        """
        any_of = [{"site": site, "idempotencyKey": {"$in": values}} for site, values in _by_site(keys)]
        any_of += [
            {"site": site, "status": STATUS_BOOKED, "claims": {"$in": values}}
            for site, values in _by_site(claims)
        ]
        if ids:
            any_of.append({"_id": {"$in": list(ids)}})
        if not any_of:
            return Found()
        await self.find_primary(timeout=timeout)
        try:
            rows = await self._find_behind_barrier(any_of, timeout)
        except (PyMongoError, TimeoutError):
            raise OutcomeUnknown() from None
        # Other callers share this barrier, and the database may have rows of another program.
        by_key = {key: row for row in rows for key in _in_site(row, "idempotencyKey")}
        own = {key: by_key[key] for key in set(keys) if key in by_key}
        active = (row for row in rows if row.get("status") == STATUS_BOOKED)
        owners = {claim: row["_id"] for row in active for claim in _in_site(row, "claims")}
        bookings = {key: _booking(row) for key, row in own.items()}
        tombstones = {key: _tombstone(row) for key, row in own.items()}
        return Found(
            _bookings(rows, ids),
            {key: booking for key, booking in bookings.items() if booking},
            {key: tombstone for key, tombstone in tombstones.items() if tombstone},
            {claim: owners[claim] for claim in set(claims) if claim in owners},
        )

    async def _find_behind_barrier(self, any_of: Sequence[Document], timeout: float) -> list[Document]:
        """Read the rows that match any of the queries. The result may contain further rows."""
        return await self._barrier.find(any_of, timeout=timeout)


def _bookings(rows: Iterable[Document], ids: Collection[str]) -> dict[str, Booking]:
    """Return the bookings among rows that have one of `ids`, by id."""
    found = (_booking(row) for row in rows if isinstance(row["_id"], str) and row["_id"] in ids)
    return {booking.id: booking for booking in found if booking}


def _in_site(row: Document, field: str) -> list[InSite]:
    """Pair the site of a row with the strings in one of its fields (a string or a list of strings)."""
    site, value = row.get("site"), row.get(field)
    values = value if isinstance(value, list) else [value]
    return [(site, item) for item in values if isinstance(site, str) and isinstance(item, str)]


def _booking(row: Document) -> Booking | None:
    """Return the booking of a row; None for a tombstone and for a row of another program."""
    if row.get("status") == STATUS_REFUSED:
        return None
    try:
        return Booking.from_document(row)
    except (KeyError, TypeError):
        log.warning("foreign_row", effect="it is taken for no booking")
        return None


def _tombstone(row: Document) -> Tombstone | None:
    """Return the tombstone of a row; None for any other row."""
    if row.get("status") != STATUS_REFUSED:
        return None
    try:
        return Tombstone(row["_id"], row["version"], row["askedAt"])
    except KeyError:
        log.warning("foreign_row", effect="its key cannot be used")
        return None


def _by_site(pairs: Collection[InSite]) -> list[tuple[str, list[str]]]:
    """Group (site, value) pairs by site."""
    values: dict[str, list[str]] = {}
    for site, value in pairs:
        values.setdefault(site, []).append(value)
    return list(values.items())


async def changed_since(
    database: Database, begin: datetime, up_to: Timestamp | None = None
) -> AsyncIterator[tuple[str, History]]:
    """The ids and histories of bookings that were changed since a moment, the longest unchanged first.

    A majority has the changes. All changes up to the cluster time `up_to` are among them, perhaps later ones
    too: a new primary may need a moment to know what a majority has.

    Raises:
        Unanswered
    """
    stages: list[Document] = [
        {"$match": {"updatedAt": {"$gte": begin}}},
        {"$sort": {"updatedAt": 1}},
        {"$project": {"history": 1}},
    ]
    committed = database.get_collection(COLLECTION, read_concern=ReadConcern("majority"))
    with answered():
        async for row in aggregate(committed, stages, up_to=up_to):
            try:
                history = tuple(Entry.from_document(entry) for entry in row.get("history", ()))
            except (AttributeError, KeyError, TypeError):
                log.warning("foreign_row", effect="its changes are no events")
            else:
                yield row["_id"], history
