"""The scripts of holds beside a model of them: whatever is done in whatever order, both have the same."""

import asyncio
from dataclasses import dataclass, field, replace
from random import Random
from uuid import UUID

import pytest

from shared.stores.redis.holds import Placed, Wanted
from shared.stores.redis.keys import Holder, held_keys, token_key
from tests.integration.hold_stores import Stores, part, wanted

STEPS = 150
QUARTERS = 6
PATIENTS = ("ada", "grace")


@dataclass
class Claim:
    """A claim that is held: by a token, for a patient, since a placing of this number, granted or not."""

    token: str
    digest: str
    at: int
    granted: bool = False


@dataclass
class Model:
    """What is held, by claim. Nothing of it expires."""

    claims: dict[str, Claim] = field(default_factory=dict)
    placings: int = 0

    def place(self, hold: Wanted) -> list[int] | None:
        held = [self.claims.get(key) for key in hold.claims.keys]
        if any(claim and claim.token != hold.holder.token for claim in held):
            return None
        self.placings += 1
        for key, claim in zip(hold.claims.keys, held, strict=True):
            at, granted = (claim.at, claim.granted) if claim else (self.placings, False)
            whose = claim.digest if claim and claim.granted else hold.holder.digest
            self.claims[key] = Claim(hold.holder.token, whose, at, granted)
        return [self.claims[key].at for key in hold.claims.keys]

    def own(self, hold: Wanted, at: list[int]) -> list[bool]:
        """Of each claim, whether it is held as it was placed."""
        held = [self.claims.get(key) for key in hold.claims.keys]
        return [
            claim is not None and (claim.token, claim.at) == (hold.holder.token, since)
            for claim, since in zip(held, at, strict=True)
        ]

    def grant(self, hold: Wanted, at: list[int]) -> bool:
        if not all(self.own(hold, at)):
            return False
        for key in hold.claims.keys:
            self.claims[key].granted, self.claims[key].digest = True, hold.holder.digest
        return True

    def withdraw(self, hold: Wanted, at: list[int], booked: set[str]) -> None:
        for key, own in zip(hold.claims.keys, self.own(hold, at), strict=True):
            if own and (key in booked or not self.claims[key].granted):
                del self.claims[key]

    def release(self, token: str) -> bool:
        before = len(self.claims)
        self.claims = {key: claim for key, claim in self.claims.items() if claim.token != token}
        return len(self.claims) < before

    def book(self, hold: Wanted) -> None:
        met = [self.claims[key] for key in hold.claims.keys if key in self.claims]
        for claim in met:
            if claim.token == hold.holder.token or claim.digest == hold.holder.digest:
                self.release(claim.token)

    def listed(self) -> list[tuple[int, int]]:
        """Where each granted hold begins, and how long it lasts, in quarters from the first claim on."""
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


async def agree(stores: Stores, model: Model, day: Wanted, tokens: list[str]) -> None:
    """Redis has what the model has: in hold keys, in records of tokens, and in what is listed."""
    site, redis = day.claims.site, stores.redis
    values = {key: await redis.get(f"hold:{{{site}}}:{key}") for key in day.claims.keys}
    held = {key: value.split() for key, value in values.items() if value}
    assert {key: (value[0], value[1], len(value) == 4) for key, value in held.items()} == {
        key: (claim.token, claim.digest, claim.granted) for key, claim in model.claims.items()
    }
    for token in tokens:
        own = {key for key, claim in model.claims.items() if claim.token == token}
        assert set(await redis.zrange(token_key(site, token), 0, -1)) == own
    granted = [key.rpartition("/")[2] for key, claim in model.claims.items() if claim.granted]
    for key in held_keys(site, "default"):
        assert sorted(await redis.zrange(key, 0, -1)) == sorted(granted)
    start = int(day.claims.keys[0].rpartition("/")[2])
    assert await stores.held_of(site) == [((at - start) // 900_000, n) for at, n in model.listed()]


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_done_to_holds_redis_has_what_a_model_has(stores: Stores, seed: int) -> None:
    """Holds that are placed, granted, withdrawn, released and used up, by each other's side, in any order."""
    random, model = Random(seed), Model()
    day = wanted(minutes=15 * QUARTERS)
    tokens = [str(UUID(int=random.getrandbits(128))) for _ in range(3)]
    placed: list[tuple[Wanted, Placed, list[int]]] = []  # not forgotten: some come late
    for _ in range(STEPS):
        first = random.randrange(QUARTERS)
        holder = Holder(random.choice(tokens), random.choice(PATIENTS))
        hold = replace(part(day, first, random.randint(first + 1, QUARTERS)), holder=holder)
        match random.choice(("place", "place", "grant", "grant", "withdraw", "release", "book")):
            case "place":
                await asyncio.sleep(0.002)  # Redis tells placings apart by its clock, in milliseconds
                at, expected = await stores.place(hold, seconds=60), model.place(hold)
                assert (at is None) == (expected is None)
                if at and expected:
                    placed.append((hold, at, expected))
            case "grant" if placed:
                hold, at, expected = random.choice(placed[-3:])
                assert bool(await stores.grant(hold, at)) == model.grant(hold, expected)
            case "withdraw" if placed:
                hold, at, expected = random.choice(placed[-3:])
                booked = {key for key in hold.claims.keys if random.random() < 0.3}
                await stores.holds.withdraw_many([(hold, at, booked)])
                model.withdraw(hold, expected, booked)
            case "release":
                assert await stores.release(hold) == model.release(hold.holder.token)
            case "book":
                token = random.choice((hold.holder.token, ""))
                booking = replace(hold, holder=replace(hold.holder, token=token))
                await stores.book(booking.claims, token=token, digest=hold.holder.digest)
                model.book(booking)
        await agree(stores, model, day, tokens)
    assert all([await stores.redis.pttl(key) > 0 for key in await stores.keys(day.claims.site)])
