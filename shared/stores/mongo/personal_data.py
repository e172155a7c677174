"""Find, read and erase people's data in `appointments`, while workers run.

No index contains a name, so a search for one reads the whole collection, in the order in which it is stored.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from pymongo.read_concern import ReadConcern

from shared.domain.booking import PERSONAL, Booking
from shared.stores.mongo.answered import Unanswered, answered
from shared.stores.mongo.bookings import COLLECTION, STATUS_REFUSED
from shared.stores.mongo.bulk import WriteResult, bulk_write
from shared.stores.mongo.connection import Database, Document, aggregate
from shared.stores.mongo.writes import erasure

ERASE_SECONDS = 10.0
_MINUTE_MS = 60_000
_SEEN = {"site": 1, "status": 1, **dict.fromkeys(PERSONAL.values(), 1)}

log = structlog.get_logger()


@dataclass(frozen=True)
class Selection:
    """Some bookings: those of the `query` that have the `name` if it is not None.

    The name is not part of the query: MongoDB logs the queries of slow operations.
    """

    query: Document
    name: str | None = None


def with_ids(ids: Collection[str]) -> Selection:
    """Select the bookings with some ids."""
    return Selection({"_id": {"$in": list(ids)}})


def of_name(name: str, site: str | None = None) -> Selection:
    """Select the bookings of a normalised name, in one site or in all."""
    return Selection({"site": site} if site else {}, name)


def ended_before(moment: datetime) -> Selection:
    """Select the bookings that have a person's data and ended at or before a moment."""
    lasting: Document = {"$multiply": [{"$ifNull": ["$durationMinutes", 0]}, _MINUTE_MS]}
    return Selection(
        {
            "slot": {"$lte": moment},
            "$expr": {"$lte": [{"$add": ["$slot", lasting]}, moment]},
            "$or": [{field: {"$ne": None}} for field in PERSONAL.values()],
        }
    )


@dataclass(frozen=True)
class Seen:
    """A booking that a scan met; `selected` if it is one of the selection."""

    id: str
    site: str
    status: str
    is_erased: bool
    selected: bool


class PersonalData:
    """The rows of bookings as a majority has them. All methods raise `Unanswered` if MongoDB fails."""

    def __init__(self, database: Database) -> None:
        self._latest = database.get_collection(COLLECTION)
        self._committed = self._latest.with_options(read_concern=ReadConcern("majority"))

    async def count_rows(self) -> int:
        """Return how many rows there are, about."""
        with answered():
            return await self._latest.estimated_document_count()

    async def scan(self, selection: Selection) -> AsyncIterator[Seen]:
        """Yield the bookings of the query."""
        stages: list[Document] = [
            {"$match": {"status": {"$ne": STATUS_REFUSED}, **selection.query}},
            {"$project": _SEEN},
        ]
        with answered():
            async for row in self._aggregate(stages):
                is_erased = all(row.get(field) is None for field in PERSONAL.values())
                selected = selection.name in (None, row.get("patientName"))
                yield Seen(row["_id"], row.get("site", ""), row.get("status", ""), is_erased, selected)

    async def read(self, ids: Collection[str]) -> list[Document]:
        """Read whole rows."""
        with answered():
            return [row async for row in self._aggregate([{"$match": {"_id": {"$in": list(ids)}}}])]

    async def _aggregate(self, stages: Sequence[Document]) -> AsyncIterator[Document]:
        """Run a pipeline on rows that are no older than the primary's last operation.

        A new primary may need a moment to know what a majority has.
        """
        hello = await self._latest.database.client.admin.command("hello")
        async for row in aggregate(self._committed, stages, up_to=hello.get("operationTime")):
            yield row

    async def erase(self, ids: Collection[str], actor: str) -> list[str]:
        """Erase bookings, each by a compare-and-set on the row as it is read here.

        `actor` is recorded in their histories.

        Returns:
            The ids that are not erased yet, because other writes changed their rows or the grid is being
            changed.
        """
        rows = [row for row in await self.read(ids) if row.get("status") != STATUS_REFUSED]
        bookings = [booking for row in rows if (booking := _booking(row)) and not booking.is_erased]
        updates = [erasure(booking, actor) for booking in bookings]
        written = await bulk_write(self._latest, "erase", updates, timeout=ERASE_SECONDS)
        if {WriteResult.NO_PRIMARY, WriteResult.UNKNOWN} & set(written):
            raise Unanswered("MongoDB did not confirm an erasure")
        return [
            booking.id
            for booking, result in zip(bookings, written, strict=True)
            if result is not WriteResult.DONE
        ]


def _booking(row: dict[str, Any]) -> Booking | None:
    try:
        return Booking.from_document(row)
    except (AttributeError, KeyError, TypeError):
        log.warning("foreign_row", effect="it is not erased")
        return None
