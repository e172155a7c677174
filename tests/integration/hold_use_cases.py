"""Helpers for the use cases of holds: what Redis has of a site, and a Redis that refuses."""

from typing import Any

import pytest

from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import BookAppointment, PlaceHold
from shared.contract.errors import HoldsUnreachable
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo.bulk import WriteResult
from shared.stores.redis.holds import HoldRequest
from shared.stores.redis.keys import Holder
from shared.stores.redis.scripts import Scripts
from tests.integration.use_cases import UseCases, writes_to


async def book_without_redis(use_cases: UseCases, command: BookAppointment) -> Booking:
    """Book a slot as a worker does that cannot reach Redis."""
    slot_range = Grid(0).slot_range(command)
    claims = Claims.of(command, slot_range)
    rival = Booking.new(command, slot_range, claims, Digests(use_cases.schema.secret))
    assert await writes_to(use_cases.database).insert_many([rival], timeout=5) == [WriteResult.DONE]
    return rival


def wanted(hold: PlaceHold, grid: Grid) -> HoldRequest:
    """Return the store's request for a hold."""
    return HoldRequest(
        Claims.of(hold, grid.slot_range(hold)), Holder(hold.holdToken or "", "digest"), unix_ms_now()
    )


async def dump(use_cases: UseCases, site: str) -> dict[str, tuple[int, Any]]:
    """Read all keys of a site except intents: expiry (Unix ms) and value."""
    redis = use_cases.redis
    keys = [key async for key in redis.scan_iter(f"*{{{site}}}*", count=1000)]
    return {
        key: (
            await redis.pexpiretime(key),
            await (redis.get(key) if key.startswith("hold:") else redis.zrange(key, 0, -1, withscores=True)),
        )
        for key in keys
        if not key.startswith("intent")
    }


def refuse(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Make Redis refuse a script, as a read-only Redis does."""
    run = Scripts.run

    async def run_or_refuse(scripts: Scripts, name: str, calls: Any, *args: Any, **more: Any) -> Any:
        if name == script:
            return [HoldsUnreachable()] * len(calls)
        return await run(scripts, name, calls, *args, **more)

    monkeypatch.setattr(Scripts, "run", run_or_refuse)
