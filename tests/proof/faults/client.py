"""One caller: it holds, books, moves, cancels and reads, and retries requests without an answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from tests.proof.faults.history import Operation
from tests.proof.faults.places import GRID_MINUTES, Place, slot_text
from tests.proof.faults.slots import SITES, STEPS, Slots
from tests.proof.faults.workload_calls import (
    AT_ONCE,
    FIRST,
    HASTY,
    ORDINARY,
    CallOptions,
    Visit,
    WorkloadCalls,
)

RETRIES = 4
SOONEST_RETRY, LATEST_RETRY = 1.0, 4.0
"""How many seconds after it gave up a caller retries with the same key."""
SOONEST_CANCEL, LATEST_CANCEL = 0.0, 1.0
ATTEMPTS_END = 1.5, 3.0
"""How many seconds after the first attempt a gateway sends its last one."""
WHILE_WAITING = 0.5, 1.5
ATTENDANCES = ("expected", "arrived", "missed")
CONTESTS = ("book", "wait", "move", "hold")
LATEST, ANY = 40, 500
"""How many of the latest bookings are changed, and how many are read."""


@dataclass
class FaultClient(WorkloadCalls):
    """A caller that also reads, moves and cancels the bookings of other callers.

    `fickle` is the probability that it cancels its own booking within a second, `contests` that it gives up
    early on a slot that a rival has booked, before the rival cancels.
    """

    slots: Slots = field(kw_only=True)
    known: list[tuple[str, Visit]] = field(kw_only=True)
    """Bookings in any caller's answers, for all callers to read, move and cancel."""
    fickle: float = 0.0
    contests: float = 0.0
    contest: tuple[str, ...] = CONTESTS
    visits: int = field(default=0, init=False)

    async def run(self, stopping: asyncio.Event) -> None:
        """Visit slot after slot until `stopping` is set; then end the last visit without pauses."""
        self._stopping = stopping
        while not stopping.is_set():
            if self.chance(self.contests):
                await self._contest()
            elif self.known and self.chance(0.45):
                await self._use_known_booking()
            else:
                await self._visit()

    async def _use_known_booking(self) -> None:
        id, visit = self.random.choice(self.known[-ANY:] if self.chance(0.5) else self.known[-LATEST:])
        recent, owner = self.random.choice(self.known[-LATEST:])
        uses = {"get": 20, "history": 15, "window": 15, "move": 35, "amend": 10, "cancel": 15}
        match self.random.choices([*uses], [*uses.values()])[0]:
            case "get":
                await self.get(id, visit)
            case "history":
                await self.history(id, visit)
            case "window":
                until = datetime.fromisoformat(visit.place.slot) + timedelta(minutes=STEPS * GRID_MINUTES)
                kind = self.random.choice(("list", "slots"))
                await self.window(kind, visit.place, slot_text(until))  # type: ignore[arg-type]
            case "move":
                await self._move(recent, owner)
            case "amend":
                await self.amend(recent, owner, self.random.choice(ATTENDANCES))
            case _:
                await self._until_known(partial(self.cancel, recent, owner))

    async def _visit(self) -> None:
        self.visits += 1
        name = f"{self.name}-{self.visits}"
        key = name if self.chance(0.6) else None
        visit = Visit(f"patient {name}", self.slots.choose(self.random), key)
        if self.chance(0.3):
            visit = await self._hold(visit)
            if self.chance(0.2):
                await self.release(visit if visit.token else replace(visit, token=self.new_id()))
            if self.chance(0.3):
                return
        await self._book(visit)

    async def _contest(self) -> None:
        """Give up early on a rival's slot, then be refused or wait; then the rival cancels.

        An earlier attempt that is still in flight could take effect now, and must not.
        """
        self.visits += 1
        name, place = f"{self.name}-{self.visits}", self.slots.choose(self.random)
        rival = await self.book(Visit(f"rival of {name}", place, f"{name}-rival"))
        if not rival.ok or rival.appointment_id is None:
            return
        id, visit = rival.appointment_id, Visit(f"patient {name}", place, name)
        rivals = replace(visit, patient=rival.patient)
        match self.random.choice(self.contest):
            case "wait":
                booking = asyncio.create_task(self.book(replace(visit, key=None), AT_ONCE))
                await self.pause(self.random.uniform(*WHILE_WAITING))
                await self.cancel(id, rivals, AT_ONCE)
                await booking
            case "book":
                await self._give_up(partial(self.book, visit))
                await self.cancel(id, rivals, AT_ONCE)
            case "move":
                elsewhere = replace(visit, place=replace(place, slot=self.slots.far_off(place)))
                own = await self.book(replace(elsewhere, key=f"{name}-own-rival"))
                if own.ok and own.appointment_id:
                    await self._give_up(partial(self.move, own.appointment_id, visit, self.new_id()))
                await self.cancel(id, rivals, AT_ONCE)
            case _:
                await self.cancel(id, rivals)
                visit = replace(visit, token=self.new_id())
                if (await self.hold(visit, HASTY)).unknown:
                    await self.release(visit, AT_ONCE)
        await self.pause(self.random.uniform(*ATTEMPTS_END))
        await self.book(replace(visit, patient=f"late {name}", key=None, token=None))
        if self.chance(0.3):
            await self.book(visit)

    async def _give_up(self, ask: Callable[[CallOptions], Awaitable[Operation]]) -> None:
        """Give up early, then retry at once and with patience until the outcome is known."""
        asked = await ask(HASTY)
        for _ in range(RETRIES):
            if not asked.unknown:
                break
            asked = await ask(AT_ONCE)

    async def _hold(self, visit: Visit) -> Visit:
        """Hold the slot, sometimes twice, and sometimes pause; return the visit, mostly with a token."""
        visit = replace(visit, token=self.new_id())
        for _ in range(2 if self.chance(0.2) else 1):
            await self.hold(visit)
        if self.chance(0.3):
            await self.pause(self.random.uniform(0, 3))
        return visit if self.chance(0.8) else replace(visit, token=None)

    async def _book(self, visit: Visit) -> None:
        done = await self._until_known(partial(self.book, visit), once=visit.key is None)
        if done.outcome == "refused" and self.chance(0.1):
            done = await self.book(replace(visit, token=None))
        if done.outcome != "ok" or done.appointment_id is None:
            return
        self.known.append((id := done.appointment_id, visit))
        if self.chance(self.fickle):
            await self.pause(self.random.uniform(SOONEST_CANCEL, LATEST_CANCEL))
            await self._until_known(partial(self.cancel, id, visit))
        if visit.key and self.chance(0.2):
            await self.book(visit)
        if visit.key and self.chance(0.05):
            await self.book(replace(visit, patient=f"{visit.patient} or another"))
        if visit.key and self.chance(0.05):
            other = next(site for site in SITES if site != visit.place.site)
            await self.book(replace(visit, place=replace(visit.place, site=other)))
        if self.chance(0.2):
            await self.get(done.appointment_id, visit)

    async def _move(self, id: str, visit: Visit) -> None:
        """Move the booking nearby, with some of its fields or all, sometimes with a hold."""
        place = self.slots.near(self.random, visit.place)
        to = replace(visit, place=place, key=None, token=None)
        if self.chance(0.2):
            to = await self._hold(to)
        if self.chance(0.4):
            to = replace(to, place=self._some_of(place))
        move_id = self.new_id() if self.chance(0.8) else None
        once = self.via == "nats" and move_id is None
        done = await self._until_known(partial(self.move, id, to, move_id), once=once)
        if done.outcome != "ok":
            return
        if self.chance(0.2):
            await self.move(id, to, move_id)
        if move_id and self.chance(0.05):
            await self.move(id, replace(to, place=self.slots.near(self.random, visit.place)), move_id)

    def _some_of(self, place: Place) -> Place:
        parts: tuple[Place, ...] = (
            Place(place.site, place.resources, ""),
            # From the start of the hour, any duration fits.
            Place(place.site, (), slot_text(datetime.fromisoformat(place.slot).replace(minute=0))),
            Place(place.site, place.resources, place.slot, GRID_MINUTES),
        )
        return self.random.choice(parts)

    async def _until_known(
        self, ask: Callable[[CallOptions], Awaitable[Operation]], *, once: bool = False
    ) -> Operation:
        """Send a request, and retry it until its outcome is known; only the first attempt says `first`.

        A caller that gave up early retries at once, or later.
        """
        done = await ask(FIRST)
        for _ in range(RETRIES):
            if once or done.outcome not in ("unknown", "not_executed") or self.chance(0.1):
                break
            if done.status is None and self.chance(0.3):
                await self.pause(self.random.uniform(SOONEST_RETRY, LATEST_RETRY))
            done = await ask(ORDINARY)
        return done
