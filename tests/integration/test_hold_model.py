"""A model of the hold scripts: after any sequence of operations, Redis and the model agree."""

import asyncio
from dataclasses import dataclass, field, replace
from random import Random
from uuid import UUID

import pytest

from shared.contract.deadline import Deadline
from shared.contract.errors import AskedEarlier, Changing, Refused
from shared.stores.redis.holds import Granted, HoldRequest, Placed
from shared.stores.redis.keys import Holder, held_keys, token_key
from tests.integration.hold_stores import Stores, part, wanted

STEPS = 150
QUARTERS = 6
PATIENTS = ("ada", "grace")


@dataclass
class Claim:
    """A held claim: token, digest of the patient's name, number of the placing, `askedAt`, granted or not."""

    token: str
    digest: str
    at: int
    asked: int
    granted: bool = False


@dataclass
class Model:
    """Held claims by name, and the release times of tokens. Nothing expires."""

    claims: dict[str, Claim] = field(default_factory=dict)
    released: dict[str, int] = field(default_factory=dict)
    placings: int = 0

    def place(self, hold: HoldRequest) -> list[int] | type[Refused] | None:
        token, asked = hold.holder.token, hold.asked_at
        if asked <= self.released.get(token, 0):
            return AskedEarlier
        held = [self.claims.get(key) for key in hold.claims.keys]
        if any(claim and claim.token != token for claim in held):
            return None
        self.placings += 1
        for key, claim in zip(hold.claims.keys, held, strict=True):
            if not (claim and claim.granted):
                at = claim.at if claim else self.placings
                self.claims[key] = Claim(token, hold.holder.digest, at, asked)
        return [self.claims[key].at for key in hold.claims.keys]

    def own(self, hold: HoldRequest, at: list[int]) -> list[bool]:
        """Return for every claim whether it is still held as it was placed."""
        held = [self.claims.get(key) for key in hold.claims.keys]
        return [
            claim is not None and (claim.token, claim.at) == (hold.holder.token, since)
            for claim, since in zip(held, at, strict=True)
        ]

    def grant(self, hold: HoldRequest, at: list[int]) -> type[Granted | Refused]:
        if hold.asked_at <= self.released.get(hold.holder.token, 0):
            return AskedEarlier
        if not all(self.own(hold, at)):
            return Changing
        for key in hold.claims.keys:
            claim = self.claims[key]
            claim.granted, claim.digest, claim.asked = (
                True,
                hold.holder.digest,
                max(claim.asked, hold.asked_at),
            )
        return Granted

    def withdraw(self, hold: HoldRequest, at: list[int]) -> None:
        for key, own in zip(hold.claims.keys, self.own(hold, at), strict=True):
            if own and not self.claims[key].granted:
                del self.claims[key]

    def release(self, token: str, asked: int, cell: str | None) -> bool | type[Refused]:
        own = {key: claim for key, claim in self.claims.items() if claim.token == token}
        if any(claim.asked > asked for claim in own.values()):
            return AskedEarlier
        if cell and own and not any(key.endswith(f"/{cell}") for key in own):
            return False
        self.released[token] = max(asked, self.released.get(token, 0))
        self.free(token)
        return bool(own)

    def free(self, token: str) -> None:
        self.claims = {key: claim for key, claim in self.claims.items() if claim.token != token}

    def book(self, hold: HoldRequest) -> None:
        met = [self.claims[key] for key in hold.claims.keys if key in self.claims]
        for claim in met:
            if claim.token == hold.holder.token or claim.digest == hold.holder.digest:
                self.free(claim.token)

    def listed(self) -> list[tuple[int, int]]:
        """Return start and length of the granted holds, in quarters of an hour from the first claim."""
        runs: list[tuple[int, int, str]] = []
        for key, claim in self.claims.items():
            if claim.granted:
                runs.append((int(key.rpartition("/")[2]), 1, claim.token))
        merged: list[tuple[int, int, str]] = []
        for at, length, token in sorted(runs):
            if merged and (merged[-1][0] + 900_000 * merged[-1][1], merged[-1][2]) == (at, token):
                merged[-1] = merged[-1][0], merged[-1][1] + length, token
            else:
                merged.append((at, length, token))
        return [(at, length) for at, length, _ in merged]


async def agree(stores: Stores, model: Model, day: HoldRequest, tokens: list[str]) -> None:
    """Check that Redis agrees with the model: hold keys, token records and the hold index."""
    site, redis = day.claims.site, stores.redis
    values = {key: await redis.get(f"hold:{{{site}}}:{key}") for key in day.claims.keys}
    held = {key: value.split() for key, value in values.items() if value}
    assert {key: (*value[:2], int(value[3]), len(value) == 5) for key, value in held.items()} == {
        key: (claim.token, claim.digest, claim.asked, claim.granted) for key, claim in model.claims.items()
    }
    for token in tokens:
        own = {key for key, claim in model.claims.items() if claim.token == token}
        assert set(await redis.zrange(token_key(site, token), 0, -1)) == own
    granted = [key.rpartition("/")[2] for key, claim in model.claims.items() if claim.granted]
    for key in held_keys(site, "default"):
        assert sorted(await redis.zrange(key, 0, -1)) == sorted(granted)
    start = int(day.claims.keys[0].rpartition("/")[2])
    assert await stores.held_of(site) == [((at - start) // 900_000, n) for at, n in model.listed()]


def outcome(placed: Placed | Refused | None) -> type[Placed | Refused] | None:
    return None if placed is None else type(placed)


@pytest.mark.parametrize("seed", range(6))
async def test_random_hold_operations_agree_with_the_model(stores: Stores, seed: int) -> None:
    """After any order of placing, granting, withdrawing, releasing and consuming, Redis equals the model."""
    random, model = Random(seed), Model()
    day = wanted(minutes=15 * QUARTERS)
    tokens = [str(UUID(int=random.getrandbits(128))) for _ in range(3)]
    placed: list[tuple[HoldRequest, Placed, list[int]]] = []  # kept, so that some operations arrive late
    for step in range(STEPS):
        first = random.randrange(QUARTERS)
        holder = Holder(random.choice(tokens), random.choice(PATIENTS))
        asked = 1000 + step - random.choice((0, 0, 0, 5))  # some are asked for earlier
        hold = replace(part(day, first, random.randint(first + 1, QUARTERS)), holder=holder, asked_at=asked)
        match random.choice(("place", "place", "grant", "grant", "withdraw", "release", "book")):
            case "place":
                await asyncio.sleep(0.002)  # Redis distinguishes placings by its clock, in ms
                (at,) = await stores.holds.place_many([hold], Deadline.after(60))
                expected = model.place(hold)
                assert outcome(at) == (Placed if isinstance(expected, list) else expected)
                if isinstance(at, Placed) and isinstance(expected, list):
                    placed.append((hold, at, expected))
            case "grant" if placed:
                hold, at, expected = random.choice(placed[-3:])
                (granted,) = await stores.holds.grant_many([(hold, at)])
                assert type(granted) is model.grant(hold, expected)
            case "withdraw" if placed:
                hold, at, expected = random.choice(placed[-3:])
                await stores.withdraw(hold, at)
                model.withdraw(hold, expected)
            case "release":
                cell = random.choice((None, hold.claims.keys[0].rpartition("/")[2]))
                released = await stores.try_release(hold, cell=cell)
                expected_release = model.release(hold.holder.token, asked, cell)
                assert (released if isinstance(released, bool) else type(released)) == expected_release
            case "book":
                token = random.choice((hold.holder.token, ""))
                booking = replace(hold, holder=replace(hold.holder, token=token))
                await stores.book(booking.claims, token=token, digest=hold.holder.digest)
                model.book(booking)
        await agree(stores, model, day, tokens)
    assert all([await stores.redis.pttl(key) > 0 for key in await stores.keys(day.claims.site)])
