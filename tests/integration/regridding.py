"""A database with bookings on a grid, and the command that changes the grid, run as operators run it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from redis import Redis

from deploy.local.process import ROOT
from shared.contract.commands import BookAppointment
from shared.domain.booked_service import BookedService
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.bookings import COLLECTION
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.schema import Schema
from shared.stores.mongo.writes import BookingWrites, CompareAndSet
from tests.integration.use_cases import writes_to
from tests.servers import Servers
from tests.stack import Stack

CANARY = "Zebra Canary"
"""The patient's name in every booking here; the command must not print it."""
COMMAND_SECONDS = 60


@dataclass
class Old:
    """Data on a grid of `minutes`, served by no worker."""

    minutes: int
    stack: Stack
    database: mongodb.Database

    @property
    def rows(self) -> mongodb.Collection:
        return self.database.get_collection(COLLECTION)

    @property
    def writes(self) -> BookingWrites:
        return writes_to(self.database)

    async def start_over(self) -> None:
        """Create a new database, in the state in which the first worker leaves it when it stops."""
        await self.database.client.drop_database(self.database.name)
        schema = Schema(self.database, self.minutes)
        await schema.wait_until_verified()
        await schema.give_up_lease()

    async def book(self, body: dict[str, Any], service: BookedService | None = None) -> Booking | None:
        """Book as a worker of this grid does; return None if the slot is taken."""
        booking = self.new(body, service)
        (written,) = await self.writes.insert_many([booking], timeout=10)
        assert written in {WriteResult.DONE, WriteResult.DUPLICATE}
        return booking if written is WriteResult.DONE else None

    def new(self, body: dict[str, Any], service: BookedService | None = None) -> Booking:
        """Return the booking that a worker of this grid would insert."""
        command = BookAppointment.model_validate(
            {"patientName": CANARY, "idempotencyKey": str(uuid4()), **body}
        )
        return Booking.new(
            command,
            span := Grid(self.minutes).slot_range(command, service),
            Claims.of(command, span),
            Digests(b"secret"),
        )

    async def cancel(self, booking_id: str) -> None:
        before = Booking.from_document(await self.rows.find_one({"_id": booking_id}) or {})
        change = CompareAndSet(before, before.cancelled())
        assert await self.writes.change_many([change], timeout=10) == [WriteResult.DONE]

    async def everything(self) -> dict[str, Any]:
        """Read all documents, options and indexes except leases, and all keys of Redis."""
        seen: dict[str, Any] = {}
        for collection in await (await self.database.list_collections()).to_list(None):
            name = collection["name"]
            if name != "barriers":
                seen[name] = [
                    collection["options"],
                    await self.database[name].find({}, {"leases": 0}).sort("_id", 1).to_list(None),
                    await self.database[name].index_information(),
                ]
        with Redis.from_url(self.stack.env["REDIS_URL"], decode_responses=True) as redis:
            seen["redis"] = sorted(redis.scan_iter("*"))
        return seen

    async def regrid(self, *arguments: str, module: Sequence[str] = ("booking_worker.regrid",)) -> "Ended":
        """Run the command until it ends."""
        return await asyncio.to_thread(run, self.stack, *arguments, module=module)


@dataclass(frozen=True)
class Ended:
    """The command's exit code and its whole output."""

    code: int
    output: str


def run(stack: Stack, *arguments: str, module: Sequence[str] = ("booking_worker.regrid",)) -> Ended:
    """Run the command with a stack's settings."""
    done = subprocess.run(
        [sys.executable, "-m", *module, *arguments],
        cwd=ROOT,
        env={**os.environ, **stack.env},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert CANARY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return Ended(done.returncode, done.stdout + done.stderr)


@asynccontextmanager
async def data_of(servers: Servers, minutes: int, **env: str) -> AsyncIterator[Old]:
    """Yield a new database with a grid, in the state in which the first worker leaves it when it stops."""
    redis = {} if "REDIS_URL" in env else {"REDIS_URL": servers.new_redis().url}
    with servers.new_stack(SLOT_MINUTES=str(minutes), **redis, **env) as stack:
        database = mongodb.connect(stack.env["MONGO_URI"])
        try:
            old = Old(minutes, stack, database)
            await old.start_over()
            yield old
        finally:
            mongodb.close(database)
