"""What is held of a resource, for reading: granted holds by their slots, without saying whose they are."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from shared.contract.deadline import Deadline
from shared.contract.errors import HoldsUnreachable
from shared.contract.fields import DAY_MINUTES
from shared.contract.instants import EPOCH, unix_milliseconds
from shared.domain.grid import Grid
from shared.stores.redis.calls import Call
from shared.stores.redis.keys import held_keys
from shared.stores.redis.scripts import NoTimeToAsk, Scripts
from shared.stores.redis.servers import Servers

# How many claims one question looks at: few enough that it holds up no other command of Redis.
MOST_LOOKED_AT = 250


@dataclass(frozen=True)
class HeldSlot:
    """What one hold has of a resource: `duration` in minutes (None where there is no grid)."""

    slot: datetime
    duration: int | None


@dataclass(frozen=True)
class _HeldClaim:
    at: int
    token: str


class HeldStore:
    """Reads what the scripts of holds list."""

    def __init__(self, redis: Servers, grid: Grid) -> None:
        self._redis = redis
        self._grid = grid
        self._step = grid.minutes * 60_000

    async def held(
        self, site: str, resource: str, start: datetime, end: datetime, *, limit: int, deadline: Deadline
    ) -> list[HeldSlot]:
        """What is held of a resource and overlaps [start, end), in the order of the slots.

        No two overlap. What a token holds without a gap is one hold, however often it was extended; only
        what lasts longer than a day may be shown shorter.

        Returns:
            The first `limit` of them: where there are as many, more may follow the last.

        Raises:
            HoldsUnreachable: Redis cannot say.
        """
        first, last = unix_milliseconds(start), unix_milliseconds(end) - 1
        beyond = DAY_MINUTES * 60_000 - self._step if self._step else 0
        found: list[HeldSlot] = []
        run: list[_HeldClaim] = []  # without a gap, of one token

        def finish() -> None:
            if run and run[-1].at + max(self._step, 1) > first:
                found.append(self._slot(run))
            run.clear()

        async with aclosing(self._claims(site, resource, first - beyond, last + beyond, deadline)) as claims:
            async for claim in claims:
                if not run or claim != _HeldClaim(run[-1].at + self._step, run[-1].token):
                    finish()
                    if claim.at > last or len(found) == limit:
                        break
                run.append(claim)
        finish()
        return found

    async def _claims(
        self, site: str, resource: str, first: int, last: int, deadline: Deadline
    ) -> AsyncGenerator[_HeldClaim]:
        """The claims that are held from `first` to `last` (Unix ms)."""
        while True:
            call = Call(site, held_keys(site, resource), (first, last, MOST_LOOKED_AT))
            ask = partial(_ask, deadline=deadline)
            (answer,) = await self._redis.apart([call], lambda each: each.site, ask)
            if not isinstance(answer, list):
                raise HoldsUnreachable
            go_on, *claims = answer
            for at, token in zip(claims[::2], claims[1::2], strict=True):
                yield _HeldClaim(int(at), token)
            if not go_on:
                return
            first = int(go_on)

    def _slot(self, run: list[_HeldClaim]) -> HeldSlot:
        slot = EPOCH + timedelta(milliseconds=run[0].at)
        return HeldSlot(slot, len(run) * self._grid.minutes if self._step else None)


async def _ask(scripts: Scripts, calls: Sequence[Call], *, deadline: Deadline) -> list[Any]:
    try:
        return await scripts.ask(partial(scripts.run, "held_claims", calls), seconds=deadline.remaining)
    except NoTimeToAsk:
        raise HoldsUnreachable from None
