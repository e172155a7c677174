"""Both services called directly, on real servers: for moments that no caller can time."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis

from booking_worker.bookings.amend import Amender
from booking_worker.bookings.book import Booker
from booking_worker.bookings.cancel import Canceller
from booking_worker.bookings.intents import IntentClearer
from booking_worker.bookings.lately_booked import LatelyBooked
from booking_worker.bookings.move import Mover
from booking_worker.bookings.requests import Booked
from booking_worker.bookings.service import BookingService
from booking_worker.reads.service import ReadService
from hold_worker.service import Held, HoldService
from shared.contract.commands import (
    AmendAppointment,
    AskGrid,
    BookAppointment,
    CancelAppointment,
    CommandT,
    GetAppointment,
    MoveAppointment,
    PlaceHold,
    ReleaseHold,
    Window,
)
from shared.contract.deadline import Deadline
from shared.contract.replies import GridFound
from shared.domain.booking import Booking
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.schedule_cache import ScheduleCache
from shared.stores.mongo.schedules import ScheduleStore
from shared.stores.mongo.schema import Schema
from shared.stores.mongo.windows import WindowStore
from shared.stores.mongo.writes import BookingWrites
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.hold_index import HoldIndex
from shared.stores.redis.holds import HoldStore
from shared.stores.redis.intents import IntentStore
from shared.stores.redis.scripts import Scripts
from shared.stores.redis.servers import SingleServer
from shared.stores.redis.watch import RedisWatch
from shared.worker.attempts import Attempt
from shared.worker.dispatcher import OutcomeT, UseCase
from shared.worker.hints import HintPublisher
from tests.servers import Servers


class OneByOne:
    """The use cases, called with one command; a refusal is raised."""

    def __init__(self, bookings: BookingService, reads: ReadService, holds: HoldService) -> None:
        self._bookings, self._reads, self._holds = bookings, reads, holds

    async def book(self, command: BookAppointment, deadline: Deadline, **sent: Any) -> Booked:
        return await _only(self._bookings.book, command, deadline, sent)

    async def cancel(self, command: CancelAppointment, deadline: Deadline, **sent: Any) -> Booking:
        return await _only(self._bookings.cancel, command, deadline, sent)

    async def amend(self, command: AmendAppointment, deadline: Deadline, **sent: Any) -> Booking:
        return await _only(self._bookings.amend, command, deadline, sent)

    async def move(self, command: MoveAppointment, deadline: Deadline, **sent: Any) -> Booking:
        return await _only(self._bookings.move, command, deadline, sent)

    async def get(self, id: str, deadline: Deadline) -> Booking:
        return await _only(self._reads.get, GetAppointment(id=id), deadline, {})

    async def list_appointments(self, window: Window, deadline: Deadline) -> str:
        return await self._reads.list_appointments(Attempt(window, deadline))

    async def list_slots(self, window: Window, deadline: Deadline) -> str:
        return await self._reads.list_slots(Attempt(window, deadline))

    async def grid(self) -> GridFound:
        return await self._reads.grid(Attempt(AskGrid(), Deadline.after(5)))

    async def place_hold(self, command: PlaceHold, deadline: Deadline, **sent: Any) -> Held:
        return await _only(self._holds.place, command, deadline, sent)

    async def release_hold(self, command: ReleaseHold, deadline: Deadline, **sent: Any) -> None:
        await _only(self._holds.release, command, deadline, sent)


def writes_to(database: mongodb.Database) -> BookingWrites:
    """Return the writes to a database, as a worker without a grid has them."""
    return BookingWrites(database, BookingStore(database), Schema(database, 0))


async def _only(
    use_case: UseCase[CommandT, OutcomeT], command: CommandT, deadline: Deadline, sent: dict[str, Any]
) -> OutcomeT:
    (outcome,) = await use_case([Attempt(command, deadline, **sent)])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


@dataclass
class UseCases:
    """Both services on one database and one Redis."""

    database: mongodb.Database
    clearer: IntentClearer
    bookings: OneByOne
    reads: OneByOne
    holds: OneByOne
    hold_store: HoldStore
    schema: Schema
    redis: Redis


@contextmanager
def lost_inserts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lose every insert in this context: it is neither carried out nor answered."""

    async def lose(_store: BookingWrites, bookings: Sequence[Booking], **_: Any) -> list[WriteResult]:
        return [WriteResult.UNKNOWN] * len(bookings)

    with monkeypatch.context() as patch:
        patch.setattr(BookingWrites, "insert_many", lose)
        yield


@asynccontextmanager
async def use_cases_on(
    servers: Servers, *, slot_minutes: int, hold_ms: int = 5000
) -> AsyncIterator[UseCases]:
    """Yield the use cases on a new database, with holds of `hold_ms`."""
    with servers.new_stack() as stack:
        database, redis = mongodb.connect(stack.env["MONGO_URI"]), connect_redis(stack.env["REDIS_URL"])
        schema, scripts, bookings = (
            Schema(database, slot_minutes),
            Scripts(SingleServer(redis)),
            BookingStore(database),
        )
        holds = HoldStore(scripts, hold_ms=hold_ms, max_ms=hold_ms)
        await schema.wait_until_verified()
        writes = BookingWrites(database, bookings, schema)
        intents = IntentStore(scripts)
        clearer = IntentClearer(intents, HintPublisher(lambda: None))
        grid, digests, lately = Grid(slot_minutes), Digests(schema.secret), LatelyBooked()
        schedules = ScheduleCache(ScheduleStore(database, bookings))
        await schedules.look()
        one_by_one = OneByOne(
            BookingService(
                Booker(bookings, writes, intents, clearer, lately),
                Canceller(bookings, writes, schedules),
                Mover(
                    bookings,
                    writes,
                    intents,
                    clearer,
                    lately=lately,
                    schedules=schedules,
                    grid=grid,
                    digests=digests,
                ),
                Amender(bookings, writes),
                schema=schema,
                schedules=schedules,
                grid=grid,
                digests=digests,
            ),
            ReadService(bookings, WindowStore(database, bookings, grid), HoldIndex(scripts, grid), grid),
            HoldService(
                bookings,
                holds,
                RedisWatch(scripts),
                schema=schema,
                schedules=schedules,
                grid=grid,
                digests=digests,
            ),
        )
        yield UseCases(database, clearer, one_by_one, one_by_one, one_by_one, holds, schema, redis)
        await clearer.drain()
        await redis.aclose()
        mongodb.close(database)
