"""Read barriers have their own threads, and wait for MongoDB as long as their most patient caller."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymongo.errors import PyMongoError

from deploy.local.mongod import Mongod
from shared.contract.commands import BookAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import OutcomeUnknown, SlotAlreadyBooked
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.bookings import BookingStore, Found
from tests.integration.use_cases import UseCases
from tests.slots import fresh

CLAIM = ("site", "default/1936083600000")


@asynccontextmanager
async def hanging_mongodb(folder: Path) -> AsyncIterator[tuple[Mongod, BookingStore]]:
    """Start a MongoDB and a store on it, and pause MongoDB after its first answer."""
    with Mongod(folder) as mongod:
        database = mongodb.connect(mongod.url)
        store = BookingStore(database)
        await store.find(claims=[CLAIM], timeout=30)
        mongod.pause()
        try:
            yield mongod, store
        finally:
            mongod.resume()
            mongodb.close(database)


async def test_a_full_default_executor_delays_no_barrier(use_cases: UseCases) -> None:
    """If all threads of asyncio's default executor are stuck, a read barrier still answers."""
    body = fresh()
    await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(30))
    go_on, loop = threading.Event(), asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(2))
    stuck = [loop.run_in_executor(None, go_on.wait) for _ in range(4)]
    try:
        rival = BookAppointment.model_validate({**body, "patientName": "Grace"})
        with pytest.raises(SlotAlreadyBooked):
            await use_cases.bookings.book(rival, Deadline.after(30))
        assert not any(thread.done() for thread in stuck)
    finally:
        go_on.set()
        await asyncio.gather(*stuck)


async def test_a_barrier_waits_as_long_as_its_most_patient_caller(tmp_path: Path) -> None:
    """A caller with little time left does not shorten the barrier of a caller that waits longer."""
    async with hanging_mongodb(tmp_path) as (mongod, store):
        hasty, patient = (
            asyncio.create_task(store.find(claims=[CLAIM], timeout=seconds)) for seconds in (0.3, 60)
        )
        with pytest.raises(OutcomeUnknown):
            await hasty
        barrier = store._barrier._current
        assert barrier is not None
        assert not barrier.done()
        mongod.resume()
        assert await patient == Found()


async def test_a_barrier_ends_with_its_most_patient_caller(tmp_path: Path) -> None:
    """A barrier on a MongoDB that never answers keeps its thread only until its last caller's deadline."""
    async with hanging_mongodb(tmp_path) as (_, store):
        with pytest.raises(OutcomeUnknown):
            await store.find(claims=[CLAIM], timeout=0.3)
        barrier = store._barrier._current
        assert barrier is not None
        async with asyncio.timeout(30):
            with pytest.raises(PyMongoError) as ended:
                await asyncio.shield(barrier)
    assert ended.value.timeout  # and not the driver's heartbeat, which would end it seconds later
