"""Bookings in MongoDB. One insert decides: the unique indexes are the only judge of who gets a slot.

Reads that decide stand behind a read barrier (`read_barrier.py`).
"""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from pymongo import InsertOne
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from shared.contract.errors import NoPrimary, NotExecuted, OutcomeUnknown
from shared.domain.booking import Booking
from shared.stores.mongo.connection import Database, Document, knows_primary
from shared.stores.mongo.read_barrier import ReadBarrier
from shared.stores.mongo.writes import Written, within, write

COLLECTION = "appointments"
STATUS_BOOKED = "booked"
STATUS_REFUSED = "refused"
"""Of a row that is no booking, and keeps its key from one that would come too late (`changes.py`)."""
PRIMARY_SECONDS = 0.4  # the driver looks again each half second, so this takes one look

InSite = tuple[str, str]
"""A site, and an idempotency key or a claim in it."""


@dataclass(frozen=True)
class Refusal:
    """A row that has a key and is no booking; `version` counts how often the key was taken, last `at`."""

    id: str
    version: int
    at: datetime


@dataclass(frozen=True)
class Found:
    """Rows that may be in the way of a command, or be its own."""

    by_id: Mapping[str, Booking] = field(default_factory=dict)
    by_key: Mapping[InSite, Booking] = field(default_factory=dict)
    refused: Mapping[InSite, Refusal] = field(default_factory=dict)
    owners: Mapping[InSite, str] = field(default_factory=dict)
    """The ids of active bookings by the (site, claim) pairs that they have."""

    @property
    def booked(self) -> Set[InSite]:
        return self.owners.keys()


class BookingStore:
    """The collection `appointments`; every call is bounded by `timeout` seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._latest = database.get_collection(COLLECTION)
        self._committed = self._latest.with_options(read_concern=ReadConcern("majority"))
        self._barrier = ReadBarrier(database, self._committed)

    async def find_primary(self, *, timeout: float) -> None:
        """Wait for a primary where none is known, for so long that its absence can still be told in time.

        Raises:
            NoPrimary
        """
        if not knows_primary(self._database):
            try:
                with within(min(timeout, PRIMARY_SECONDS)):
                    await self._database.client.admin.command("ping")
            except PyMongoError:
                raise NoPrimary from None

    async def insert_many(self, bookings: Sequence[Booking], *, timeout: float) -> list[Written]:
        """Insert bookings in one round trip; one outcome each, in their order. Never raises for MongoDB."""
        inserts = [InsertOne(booking.to_document()) for booking in bookings]
        return await write(self._latest, "insert", inserts, timeout=timeout)

    async def get_many(self, ids: Collection[str], *, timeout: float) -> dict[str, Booking]:
        """Bookings by their ids, as a majority has them; those that are not there are left out.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        await self.find_primary(timeout=timeout)
        try:
            with within(timeout):
                rows = await self._committed.find({"_id": {"$in": list(ids)}}).to_list(None)
                # A new primary may not know yet of all that a majority has.
                if missing := set(ids) - {row["_id"] for row in rows}:
                    rows += await self._find_behind_barrier([{"_id": {"$in": list(missing)}}], timeout)
        except (PyMongoError, TimeoutError):
            raise NotExecuted("The booking could not be read") from None
        return {
            row["_id"]: Booking.from_document(row) for row in rows if row["_id"] in ids and _is_booking(row)
        }

    async def find(
        self,
        *,
        ids: Set[str] = frozenset(),
        keys: Collection[InSite] = (),
        claims: Collection[InSite] = (),
        timeout: float,
    ) -> Found:
        """The rows that have one of `ids` or `keys`, and whose of `claims` are, if an active booking's.

        Raises:
            NoPrimary, OutcomeUnknown: MongoDB did not answer in time.
        """
        any_of = [{"site": site, "idempotencyKey": {"$in": those}} for site, those in _by_site(keys)]
        any_of += [
            {"site": site, "status": STATUS_BOOKED, "claims": {"$in": those}}
            for site, those in _by_site(claims)
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
        by_key = {(row["site"], row["idempotencyKey"]): row for row in rows}
        own = {key: by_key[key] for key in by_key.keys() & set(keys)}
        active = (row for row in rows if row["status"] == STATUS_BOOKED)
        owners = {(row["site"], claim): row["_id"] for row in active for claim in row["claims"]}
        return Found(
            {
                row["_id"]: Booking.from_document(row)
                for row in rows
                if row["_id"] in ids and _is_booking(row)
            },
            {key: Booking.from_document(row) for key, row in own.items() if _is_booking(row)},
            {
                key: Refusal(row["_id"], row["version"], row["refusedAt"])
                for key, row in own.items()
                if not _is_booking(row)
            },
            {claim: owners[claim] for claim in owners.keys() & set(claims)},
        )

    async def _find_behind_barrier(self, any_of: Sequence[Document], timeout: float) -> list[Document]:
        """The rows that match `any_of` some queries; among others, perhaps."""
        return await self._barrier.find(any_of, timeout=timeout)


def _is_booking(row: Document) -> bool:
    return bool(row["status"] != STATUS_REFUSED)


def _by_site(pairs: Collection[InSite]) -> list[tuple[str, list[str]]]:
    values: dict[str, list[str]] = {}
    for site, value in pairs:
        values.setdefault(site, []).append(value)
    return list(values.items())
