"""The booking store by itself: what it says of writes and reads that fail."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from shared.errors import NotExecuted, OutcomeUnknown
from shared.stores import mongodb
from shared.stores.bookings import BookingStore
from tests.servers import Servers

SLOT = ("r", datetime(2031, 5, 4, 9, tzinfo=UTC))


@pytest.fixture
async def store(servers: Servers) -> AsyncIterator[BookingStore]:
    with servers.new_stack() as stack:
        database = mongodb.connect(stack.env["MONGO_URI"])
        yield BookingStore(database)
        database.client.close()


@pytest.mark.parametrize("timeout", [0.0, -1.0])
async def test_a_deadline_that_has_just_passed_is_no_error_of_its_own(
    store: BookingStore, timeout: float
) -> None:
    """A read with no time left is a read that was not answered in time."""
    with pytest.raises(OutcomeUnknown):
        await store.find_booked([SLOT], timeout=timeout)
    with pytest.raises(NotExecuted):
        await store.get("nothing", timeout=timeout)


async def test_an_empty_batch_asks_for_nothing(store: BookingStore) -> None:
    """Where nothing is to be inserted or found, MongoDB is left alone."""
    assert await store.book_many([], timeout=-1) == []
    assert await store.find_by_keys([], timeout=-1) == {}
