"""Remove safeguards of the relay."""

from dataclasses import replace
from typing import Any

from booking_worker.events import client_consumers
from booking_worker.events.relay import Relay
from shared.domain.history import Entry
from shared.stores.mongo.bookings import COLLECTION
from shared.stores.mongo.change_stream import ChangeBatch, ChangeStream
from shared.stores.mongo.meta import RELAY_ID
from shared.stores.mongo.relay_lease import Progress, RelayLease


def token_before_ack() -> None:
    """Store the resume token before JetStream has acknowledged the events before it."""
    next_batch, publish = ChangeStream.next_batch, Relay._publish
    read: list[ChangeBatch] = []

    async def remember(stream: ChangeStream) -> ChangeBatch:
        read[:] = [await next_batch(stream)]
        return read[0]

    async def store_first(relay: Relay, *args: object) -> None:
        relay._progress = Progress(read[0].token, read[0].at)
        await publish(relay, *args)  # type: ignore[arg-type]

    ChangeStream.next_batch = remember  # type: ignore[assignment,method-assign]
    Relay._publish = store_first  # type: ignore[assignment,method-assign]


def later_lookup() -> None:
    """Look up the booking for each of its changes, instead of reading the history entry in the change."""
    next_batch = ChangeStream.next_batch

    async def look_up(stream: ChangeStream) -> ChangeBatch:
        batch = await next_batch(stream)
        rows = stream._database.get_collection(COLLECTION)
        found = [await rows.find_one({"_id": change.booking_id}) for change in batch.changes]
        changes = [
            replace(change, entry=Entry.from_document(row["history"][-1]))
            for change, row in zip(batch.changes, found, strict=True)
            if row
        ]
        return replace(batch, changes=changes)

    ChangeStream.next_batch = look_up  # type: ignore[assignment,method-assign]


def no_epoch() -> None:
    """Let a relay store its token whichever relay leads."""
    RelayLease._mine = lambda *_: {"_id": RELAY_ID}  # type: ignore[method-assign]


def client_consumers_stay() -> None:
    """Keep the consumers of clients whose keys were revoked."""

    async def delete_none(*_: Any) -> None:
        pass

    vars(client_consumers)["_delete_others"] = delete_none
