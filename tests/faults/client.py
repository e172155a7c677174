"""One caller: visits slots, holds some, books, repeats what got no answer, and reads back."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from tests.callers import Answer, Caller
from tests.faults.history import Kind, Operation, Via
from tests.faults.recorder import Recorder
from tests.faults.slots import SITES, Slots

PATIENCE_SECONDS = 12.0
REPEATS = 4


@dataclass(frozen=True)
class Visit:
    """A patient who wants some resources at once, all of them or none."""

    patient: str
    site: str
    resources: tuple[str, ...]
    slot: str
    key: str | None
    token: str | None = None

    def body(self) -> dict[str, Any]:
        wanted = {"site": self.site, "resources": self.resources, "slot": self.slot}
        return {**wanted, "patientName": self.patient} | ({"holdToken": self.token} if self.token else {})


@dataclass
class FaultClient:
    """A caller on one way in. `pace` is the mean number of its calls in a second."""

    name: str
    via: Via
    caller: Caller
    recorder: Recorder
    slots: Slots
    random: Random
    pace: float
    known: list[tuple[str, Visit]]
    """Bookings that anybody was told of, for all clients to read."""
    visits: int = field(default=0, init=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self, stopping: asyncio.Event) -> None:
        """Visit slot after slot until told to stop; the last visit is brought to its end in haste."""
        self._stopping = stopping
        while not stopping.is_set():
            await self._visit()

    async def _visit(self) -> None:
        if self.known and self._chance(0.12):
            await self._get(*self.random.choice(self.known[-500:]))
            return
        self.visits += 1
        name = f"{self.name}-{self.visits}"
        key = name if self._chance(0.5) else None
        visit = Visit(f"patient {name}", *self.slots.choose(self.random), key)
        if self._chance(0.35):
            visit = await self._hold(visit)
            if self._chance(0.3):
                return
        await self._book_until_known(visit)

    async def _hold(self, visit: Visit) -> Visit:
        """Hold the slot, sometimes twice, and take one's time; the visit has a token afterwards."""
        visit = replace(visit, token=str(UUID(int=self.random.getrandbits(128), version=4)))
        for _ in range(2 if self._chance(0.2) else 1):
            await self._call("hold", visit, lambda: self.caller.hold(visit.body()))
        if self._chance(0.3):
            await self._pause(self.random.uniform(0, 3))
        return visit if self._chance(0.8) else replace(visit, token=None)

    async def _book_until_known(self, visit: Visit) -> None:
        done = await self._book(visit)
        for _ in range(REPEATS):
            if visit.key is None or done.outcome not in ("unknown", "not_executed") or self._chance(0.1):
                break
            done = await self._book(visit)
        if done.outcome == "refused" and self._chance(0.1):
            done = await self._book(replace(visit, token=None))
        if done.outcome != "ok" or done.appointment_id is None:
            return
        self.known.append((done.appointment_id, visit))
        if visit.key and self._chance(0.2):
            await self._book(visit)
        if visit.key and self._chance(0.05):
            await self._book(replace(visit, patient=f"{visit.patient} or another"))
        if visit.key and self._chance(0.05):
            await self._book(replace(visit, site=next(site for site in SITES if site != visit.site)))
        if self._chance(0.3):
            await self._get(done.appointment_id, visit)

    async def _book(self, visit: Visit) -> Operation:
        headers, deadline = {"Idempotency-Key": visit.key} if visit.key else {}, None
        if self.via == "nats" and self._chance(0.3):
            latest = datetime.now(UTC) + timedelta(seconds=self.random.uniform(0.05, 1.5))
            headers["Deadline"] = str(int(latest.timestamp() * 1000))
            deadline = self.recorder.moment(latest)
        return await self._call(
            "book", visit, lambda: self.caller.book(visit.body(), **headers), deadline=deadline
        )

    async def _get(self, id: str, visit: Visit) -> Operation:
        about = replace(visit, key=None, token=None)
        return await self._call("get", about, lambda: self.caller.get(id), id=id)

    async def _call(
        self,
        kind: Kind,
        visit: Visit,
        send: Callable[[], Awaitable[Answer]],
        *,
        id: str | None = None,
        deadline: float | None = None,
    ) -> Operation:
        await self._pause(self.random.expovariate(self.pace))
        asked = Operation(
            number=0,
            client=self.name,
            kind=kind,
            via=self.via,
            site=visit.site,
            resources=visit.resources,
            slot=visit.slot,
            patient=visit.patient,
            key=visit.key,
            token=visit.token,
            invoked=0.0,
            returned=None,
            outcome="unknown",
            appointment_id=id,
            deadline=deadline,
        )

        async def patiently() -> Answer:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await send()

        return await self.recorder.record(asked, patiently)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _chance(self, probability: float) -> bool:
        return self.random.random() < probability
