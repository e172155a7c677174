"""The stores of holds and intents on one Redis, and helpers that call them with one command."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar
from uuid import uuid4

from redis.asyncio import Redis

from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import Refused
from shared.contract.instants import unix_milliseconds
from shared.domain.claim import Claims
from shared.domain.grid import Grid
from shared.domain.time_range import TimeRange
from shared.stores.redis.hold_index import HoldIndex
from shared.stores.redis.holds import Granted, HoldRequest, HoldStore, Placed, Release
from shared.stores.redis.intents import BookingIntent, HoldState, IntentStore
from shared.stores.redis.keys import Holder, intent_key, intents_key, keys_of
from shared.stores.redis.scripts import Scripts
from shared.stores.redis.server import Server
from shared.stores.redis.servers import SingleServer
from tests.slots import fresh

DAY = datetime(2031, 5, 4, 9, tzinfo=UTC)
DAY_MS, QUARTER_MS = unix_milliseconds(DAY), 15 * 60_000

AnswerT = TypeVar("AnswerT")


def only(answers: Sequence[AnswerT | Refused]) -> AnswerT:
    """Return the only answer; raise it if it is a refusal."""
    (answer,) = answers
    if isinstance(answer, Refused):
        raise answer
    return answer


@dataclass
class Stores:
    """The stores of both workers, on one Redis."""

    redis: Redis
    server: Server
    holds: HoldStore
    held: HoldIndex
    intents: IntentStore

    @classmethod
    def on(cls, redis: Redis, hold_ms: int = 60_000) -> "Stores":
        scripts = Scripts(SingleServer(redis))
        return cls(
            redis,
            Server(redis),
            HoldStore(scripts, hold_ms=hold_ms, max_ms=60_000),
            HoldIndex(scripts, Grid(15)),
            IntentStore(scripts),
        )

    async def place(self, wanted: HoldRequest, *, seconds: float) -> Placed | None:
        """Place one hold."""
        return only(await self.holds.place_many([wanted], Deadline.after(seconds)))

    async def grant(self, wanted: HoldRequest, placed: Placed) -> Granted | None:
        """Grant one hold; return None if it was refused."""
        (granted,) = await self.holds.grant_many([(wanted, placed)])
        return None if isinstance(granted, Refused) else granted

    async def withdraw(self, wanted: HoldRequest, placed: Placed) -> None:
        """Withdraw one hold."""
        await self.holds.withdraw_many([(wanted, placed)])

    async def release(
        self, wanted: HoldRequest, *, asked_at: int | None = None, cell: str | None = None
    ) -> bool:
        """Release the holds of a token; return whether it held anything."""
        released = await self.try_release(wanted, asked_at=asked_at, cell=cell)
        return only([released])

    async def try_release(
        self, wanted: HoldRequest, *, asked_at: int | None = None, cell: str | None = None
    ) -> bool | Refused:
        """Release the holds of a token, or return the refusal.

        `asked_at` defaults to the time at which the hold was asked for.
        """
        asked_at = wanted.asked_at if asked_at is None else asked_at
        release = Release(wanted.claims.site, wanted.holder.token, asked_at, cell)
        (released,) = await self.holds.release_many([release], Deadline.after(60))
        return released

    async def book(self, claims: Claims, *, token: str = "", digest: str = "nobody's") -> None:
        """Consume the holds of a patient, as a confirmed booking does."""
        await self.intents.use_up_holds([BookingIntent(claims, Holder(token, digest))])

    async def held_of(
        self, site: str, resource: str = "default", *, first: int = -96, last: int = 192, limit: int = 1000
    ) -> list[tuple[int, int | None]]:
        """Read the holds of a resource: start and length, in quarters of an hour from `DAY`."""
        window = range_of(site, resource, first=first, last=last)
        held = await self.held.held(window, None, limit=limit, deadline=Deadline.after(60))
        assert {cells.resource for cells in held} <= {resource}
        return [((cells.at - DAY_MS) // QUARTER_MS, cells.minutes and cells.minutes // 15) for cells in held]

    async def found_by(self, rival: BookingIntent) -> HoldState:
        """Register a booking's intent; return the hold state that it found."""
        return (await self.intents.register_intents([rival], seconds=60))[0]

    async def keys(self, site: str) -> list[str]:
        """List all keys of a site, except the marks of releases."""
        keys = [key async for key in self.redis.scan_iter(f"*{{{site}}}*", count=1000)]
        return [key for key in keys if not key.startswith("released:")]

    async def keys_of_holds(self, site: str) -> list[str]:
        """List the keys of a site's holds, without `held_resources`, which expires by itself."""
        return [key for key in await self.keys(site) if not key.startswith("held_resources:")]

    async def ends(self, claims: Claims) -> list[int]:
        """Return the remaining TTLs (ms) of the existing keys of some claims."""
        keys = [key for key in keys_of(claims) if await self.redis.exists(key)]
        return [await self.redis.pttl(key) for key in keys]

    async def under_way(self, site: str) -> list[str]:
        """List the claims of a site that have an intent; the site's index names all of their batches."""
        listed = {intent_key(site, str(batch)) for batch in await self.redis.zrange(intents_key(site), 0, -1)}
        keys = {key async for key in self.redis.scan_iter(f"intent:{{{site}}}:*", count=1000)}
        assert keys <= listed
        return sorted([str(claim) for key in keys for claim in await self.redis.smembers(key)])


def range_of(site: str, *resources: str, first: int = -96, last: int = 192) -> TimeRange:
    """Return a range between two quarters of an hour from `DAY`; of all resources if none is named."""
    start, end = (DAY_MS + n * QUARTER_MS for n in (first, last))
    return TimeRange(site, resources or None, start, end)


def part(wanted: HoldRequest, first: int, last: int) -> HoldRequest:
    """Return the same patient's request for a part of the claims."""
    return replace(wanted, claims=replace(wanted.claims, keys=wanted.claims.keys[first:last]))


def wanted(*, minutes: int | None = None, grid: int = 15) -> HoldRequest:
    request = PlaceHold.model_validate(fresh("Ada", durationMinutes=minutes))
    span = Grid(grid if minutes else 0).slot_range(request)
    return HoldRequest(Claims.of(request, span), Holder(str(uuid4()), "ada"), unix_ms_now())


def rival_of(hold: HoldRequest) -> BookingIntent:
    return BookingIntent(hold.claims, Holder("", "another"))


async def grant(stores: Stores, claim: HoldRequest, *, seconds: float = 60) -> Granted:
    """Place and grant a hold."""
    placed = await stores.place(claim, seconds=seconds)
    assert placed is not None
    granted = await stores.grant(claim, placed)
    assert granted is not None
    return granted
