"""The calls of one caller, each recorded with its outcome."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from tests.callers import Answer, Caller, Kind
from tests.proof.faults.history import Operation, Via
from tests.proof.faults.places import GRID_MINUTES, Place
from tests.proof.faults.recorder import CHANGING, Recorder

PATIENCE_SECONDS = 12.0
SHORTEST_PATIENCE, LONGEST_PATIENCE = 0.3, 1.0
SHORTEST_DEADLINE, LONGEST_DEADLINE = 0.05, 1.5
ASKED_AT_IS_SENT = 0.9
ORDERED = ("book", "move", "cancel", "hold", "release")
"""The operations that carry `askedAt`."""


@dataclass(frozen=True)
class Visit:
    """A patient and the place that the patient wants, all of it or nothing."""

    patient: str
    place: Place
    key: str | None = None
    token: str | None = None

    def body(self) -> dict[str, Any]:
        place = self.place
        wanted = {"site": place.site, "resources": place.resources, "slot": place.slot}
        # A request without a duration asks for one cell.
        lasting: dict[str, Any] = (
            {} if place.minutes in (None, GRID_MINUTES) else {"durationMinutes": place.minutes}
        )
        if place.service is not None:
            lasting = {"service": place.service.id}
        token = {"holdToken": self.token} if self.token else {}
        return {**wanted, **lasting, "patientName": self.patient, **token}


@dataclass(frozen=True)
class CallOptions:
    """How a caller sends a request.

    `first`: the request says that it was never sent before. `hasty`: its caller gives up early. `at_once`:
    its caller does not pause before it.
    """

    first: bool = False
    hasty: bool = False
    at_once: bool = False


ORDINARY, FIRST, HASTY, AT_ONCE = (
    CallOptions(),
    CallOptions(first=True),
    CallOptions(hasty=True),
    CallOptions(at_once=True),
)


@dataclass
class WorkloadCalls:
    """A caller on one transport. `pace` is the mean number of its calls in a second.

    With probability `haste` it waits for an answer for at most a second; then it closes its HTTP
    connection, or drops its request on NATS.
    """

    name: str
    via: Via
    caller: Caller
    recorder: Recorder
    random: Random
    pace: float
    haste: float = 0.0
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def book(self, visit: Visit, options: CallOptions = ORDINARY) -> Operation:
        key = {"Idempotency-Key": visit.key} if visit.key else {}
        return await self._ask("book", visit, visit.body(), key=visit.key, headers=key, options=options)

    async def hold(self, visit: Visit, options: CallOptions = ORDINARY) -> Operation:
        return await self._ask("hold", visit, visit.body(), options=options)

    async def release(self, visit: Visit, options: CallOptions = ORDINARY) -> Operation:
        body = {name: value for name, value in visit.body().items() if name != "patientName"}
        return await self._ask("release", visit, body, options=options)

    async def cancel(self, id: str, visit: Visit, options: CallOptions = ORDINARY) -> Operation:
        return await self._ask("cancel", visit, {"id": id}, id=id, options=options)

    async def move(
        self, id: str, visit: Visit, move_id: str | None, options: CallOptions = ORDINARY
    ) -> Operation:
        """Move the booking to the visit's place; empty fields and None are not sent."""
        place = visit.place
        wanted = {"slot": place.slot, "resources": place.resources, "durationMinutes": place.minutes}
        wanted |= {"service": place.service.id, "durationMinutes": None} if place.service else {}
        body = {name: value for name, value in wanted.items() if value} | {"id": id}
        body |= {"holdToken": visit.token} if visit.token else {}
        body |= {"moveId": move_id} if move_id else {}
        key = {"Idempotency-Key": move_id} if move_id and self.via == "http" else {}
        return await self._ask("move", visit, body, id=id, move_id=move_id, headers=key, options=options)

    async def amend(self, id: str, visit: Visit, attendance: str) -> Operation:
        """Note an attendance. It has no id, so another request would be another amendment."""
        body = {"id": id, "attendance": attendance}
        return await self._ask("amend", replace(visit, token=None), body, id=id, attendance=attendance)

    async def get(self, id: str, visit: Visit) -> Operation:
        return await self._ask("get", replace(visit, token=None), {"id": id}, id=id)

    async def history(self, id: str, visit: Visit) -> Operation:
        return await self._ask("history", replace(visit, token=None), {"id": id}, id=id)

    async def window(self, kind: Kind, place: Place, until: str) -> Operation:
        """Send `list` or `slots` for the first resource, from the slot on."""
        [resource, *_] = place.resources
        visit = Visit("", Place(place.site, (resource,), place.slot))
        query = {"site": place.site, "resource": resource, "from": place.slot, "to": until}
        return await self._ask(kind, visit, query, until=until)

    def new_id(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    async def _ask(
        self,
        kind: Kind,
        visit: Visit,
        body: dict[str, Any],
        *,
        key: str | None = None,
        id: str | None = None,
        headers: dict[str, str] | None = None,
        options: CallOptions = ORDINARY,
        **more: Any,
    ) -> Operation:
        if not options.at_once:
            await self.pause(self.random.expovariate(self.pace))
        sent_headers, deadline = dict(headers or {}), None
        if self.via == "nats" and kind in CHANGING and self.chance(0.4):
            latest = datetime.now(UTC) + timedelta(
                seconds=self.random.uniform(SHORTEST_DEADLINE, LONGEST_DEADLINE)
            )
            sent_headers["Deadline"] = str(int(latest.timestamp() * 1000))
            deadline = self.recorder.moment(latest)
        if options.first:
            sent_headers["First"] = "true"
        # A gateway sets `askedAt` when it reads the request, so HTTP callers send none.
        asked_at: float | None = self.recorder.now()
        if self.via == "nats":
            unix_ms = int(datetime.now(UTC).timestamp() * 1000)
            is_sent = kind in ORDERED and self.chance(ASKED_AT_IS_SENT)
            sent_headers |= {"Asked-At": str(unix_ms)} if is_sent else {}
            sent_at = datetime.fromtimestamp(unix_ms / 1000, UTC)
            asked_at = self.recorder.moment(sent_at) if is_sent else None
        patience = PATIENCE_SECONDS
        if options.hasty or self.chance(self.haste):
            patience = self.random.uniform(SHORTEST_PATIENCE, LONGEST_PATIENCE)
        place = visit.place
        asked = Operation(
            number=0,
            client=self.name,
            kind=kind,
            via=self.via,
            site=place.site,
            resources=place.resources,
            slot=place.slot,
            patient=visit.patient,
            key=key,
            token=visit.token,
            invoked=0.0,
            returned=None,
            outcome="unknown",
            appointment_id=id,
            deadline=deadline,
            asked=asked_at,
            minutes=place.minutes,
            service=place.service,
            **more,
        )

        async def patiently() -> Answer:
            async with asyncio.timeout(patience):
                return await self.caller.ask(kind, body, **sent_headers)

        return await self.recorder.record(asked, patiently)

    async def pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability
