"""Holds and intents in Redis: what is granted, what is withdrawn, and what is said of a lost Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import uvloop
from redis.asyncio import Connection, Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import TimeoutError as RedisTimeoutError

from deploy.local.redis import Redis as EmbeddedRedis
from shared.contract.commands import PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import HoldsUnreachable, OutcomeUnknown
from shared.domain.claim import Claims
from shared.domain.grid import Grid
from shared.stores.redis import intents as intents_module
from shared.stores.redis import scripts as scripts_module
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.holds import PLACED_MARGIN_MS, Granted, HoldStore, Placed, Wanted
from shared.stores.redis.intents import INTENT_MARGIN_MS, BookingIntent, HoldState, IntentStore
from shared.stores.redis.keys import Holder, keys_of
from shared.stores.redis.scripts import ANSWER_SECONDS, LATE_SECONDS, MOST_KEYS, Scripts
from tests.servers import Servers
from tests.slots import fresh, fresh_site


@dataclass
class Stores:
    """Both stores on one Redis, as the two workers have them."""

    redis: Redis
    holds: HoldStore
    intents: IntentStore

    @classmethod
    def on(cls, redis: Redis, hold_ms: int = 60_000) -> "Stores":
        scripts = Scripts(redis)
        return cls(redis, HoldStore(scripts, hold_ms=hold_ms, max_ms=60_000), IntentStore(scripts))

    async def place(self, wanted: Wanted, *, seconds: float) -> Placed | None:
        """Place one hold."""
        return (await self.holds.place_many([wanted], Deadline.after(seconds)))[0]

    async def grant(self, wanted: Wanted, placed: Placed) -> Granted | None:
        """Grant one hold."""
        return (await self.holds.grant_many([(wanted, placed)]))[0]

    async def withdraw(self, wanted: Wanted, placed: Placed) -> bool:
        """Withdraw one hold; whether some of it stays."""
        return (await self.holds.withdraw_many([(wanted, placed, frozenset())]))[0]

    async def found_by(self, rival: BookingIntent) -> HoldState:
        """What a booking finds."""
        return (await self.intents.register_intents([rival], seconds=60))[0]

    async def ends(self, claims: Claims) -> list[int]:
        """In how many ms each key ends that is there."""
        keys = [key for key in keys_of(claims) if await self.redis.exists(key)]
        return [await self.redis.pttl(key) for key in keys]


def part(wanted: Wanted, first: int, last: int) -> Wanted:
    """Some of the claims, for the same patient."""
    return replace(wanted, claims=replace(wanted.claims, keys=wanted.claims.keys[first:last]))


@pytest.fixture
async def stores(servers: Servers) -> AsyncIterator[Stores]:
    with servers.new_stack() as stack:
        redis = connect_redis(stack.env["REDIS_URL"])
        yield Stores.on(redis)
        await redis.aclose()


def wanted(*, minutes: int | None = None, grid: int = 15) -> Wanted:
    request = PlaceHold.model_validate(fresh("Ada", durationMinutes=minutes))
    span = Grid(grid if minutes else 0).span_of(request)
    return Wanted(Claims.of(request, span), Holder(str(uuid4()), "ada"))


def rival_of(hold: Wanted, booking: str = "booking") -> BookingIntent:
    return BookingIntent(booking, hold.claims, Holder("", "another"))


async def test_a_late_attempt_does_not_withdraw_what_its_repeat_was_granted(stores: Stores) -> None:
    """An attempt to hold that fails late undoes what nobody was granted, and no more."""
    claim = wanted()
    attempt, repeat = [await stores.place(claim, seconds=60) for _ in range(2)]
    assert attempt is not None
    assert repeat is not None
    assert await stores.grant(claim, repeat)
    assert await stores.withdraw(claim, attempt)
    assert await stores.intents.register_intents([rival_of(claim)], seconds=1) == [HoldState.OTHERS]
    assert await stores.grant(claim, attempt)


async def test_a_hold_that_was_withdrawn_is_not_granted(stores: Stores) -> None:
    """A hold that an earlier attempt withdrew is not granted, nor is one that was placed since for it.

    Nor does that attempt, which ends late, withdraw the other.
    """
    claim = wanted()
    placed = await stores.place(claim, seconds=60)
    assert placed is not None
    assert not await stores.withdraw(claim, placed)
    assert not await stores.grant(claim, placed)
    assert await stores.intents.register_intents([rival_of(claim)], seconds=1) == [HoldState.FREE]
    await asyncio.sleep(0.002)  # Redis tells placements apart by its clock, in milliseconds
    again = await stores.place(claim, seconds=60)
    assert again is not None
    assert not await stores.grant(claim, placed)
    assert await stores.withdraw(claim, placed)
    assert await stores.grant(claim, again)


async def test_a_hold_is_granted_as_a_whole_or_not_at_all(stores: Stores) -> None:
    """Of a hold that lost an instant, the others are not granted: whoever fails next takes them back."""
    redis = stores.redis
    claim = wanted(minutes=30)
    placed = await stores.place(claim, seconds=60)
    assert placed is not None
    await redis.delete(keys_of(claim.claims)[1])
    assert not await stores.grant(claim, placed)
    assert not await stores.withdraw(claim, placed)
    assert not await redis.exists(*keys_of(claim.claims))


async def test_a_hold_that_is_not_granted_ends_soon_after_its_command(stores: Stores) -> None:
    """What a worker placed and did not live to grant blocks nobody for longer than a command may take."""
    claim = wanted(minutes=30)
    for _ in range(2):  # a repeat prolongs it by no more than its own command
        assert await stores.place(claim, seconds=1.5)
        assert all(1500 < end <= 1500 + PLACED_MARGIN_MS for end in await stores.ends(claim.claims))


async def test_granting_a_hold_gives_it_its_full_time(stores: Stores) -> None:
    """A hold that is granted lasts as long as its answer says, counted from then."""
    claim = wanted()
    placed = await stores.place(claim, seconds=1)
    assert placed is not None
    granted = await stores.grant(claim, placed)
    assert granted is not None
    assert granted.milliseconds == 60_000
    assert all(50_000 < end <= 60_000 for end in await stores.ends(claim.claims))


async def grant(stores: Stores, claim: Wanted, *, seconds: float = 60) -> Granted:
    """Place a hold and grant it."""
    placed = await stores.place(claim, seconds=seconds)
    assert placed is not None
    granted = await stores.grant(claim, placed)
    assert granted is not None
    return granted


async def test_extending_a_hold_never_shortens_what_was_granted(stores: Stores) -> None:
    """A hold that is extended to more claims ends for each of them no sooner than was granted before."""
    claim, shorter = wanted(minutes=30), Stores.on(stores.redis, hold_ms=5_000)
    await grant(stores, part(claim, 0, 1))
    placed = await shorter.place(claim, seconds=1)
    assert placed is not None
    assert (await stores.ends(claim.claims))[0] > 50_000
    granted = await shorter.grant(claim, placed)
    assert granted is not None
    assert granted.milliseconds == 5_000
    ends = await stores.ends(claim.claims)
    assert ends[0] > 50_000
    assert ends[1] <= 5_000


async def test_a_hold_ends_with_the_first_of_its_claims(stores: Stores) -> None:
    """What is extended to more claims is told to end when the oldest of them does, which is capped."""
    claim = wanted(minutes=30)
    first = await grant(stores, part(claim, 0, 1))
    await asyncio.sleep(0.05)
    both = await grant(stores, claim)
    assert both.expires_at == first.expires_at
    assert both.milliseconds < 60_000


async def test_a_hold_claims_all_or_nothing(stores: Stores) -> None:
    """Where another holds one of the claims, none of the others is held: a doctor and a room, or neither."""
    ours = wanted(minutes=45)
    theirs = replace(part(ours, 2, 3), holder=Holder(str(uuid4()), "grace"))
    await grant(stores, theirs)
    assert await stores.place(ours, seconds=60) is None
    assert len(await stores.ends(ours.claims)) == 1


async def test_a_longer_intent_is_not_forgotten_with_a_shorter_one(stores: Stores) -> None:
    """Of two bookings of a claim that are being made, the one with more time is waited for to its end."""
    claim = wanted()
    patient, hasty = rival_of(claim, "patient"), rival_of(claim, "hasty")
    await stores.intents.register_intents([patient], seconds=60)
    await stores.intents.register_intents([hasty], seconds=0)
    assert all(end > 60_000 for end in await stores.ends(claim.claims))


async def test_an_intent_stands_for_some_time_beyond_its_deadline(stores: Stores) -> None:
    """An insert that a stalled MongoDB carries out up to five seconds late is waited for."""
    claim = wanted()
    await stores.intents.register_intents([rival_of(claim)], seconds=1)
    _, intents = keys_of(claim.claims)
    score = await stores.redis.zscore(intents, "booking")
    assert score is not None
    assert 5_000 < score - time.time() * 1000 <= 6_000
    assert all(5_000 < end <= 6_000 for end in await stores.ends(claim.claims))


async def test_a_booking_uses_up_no_hold_of_another(stores: Stores) -> None:
    """A confirmed booking ends its patient's holds on the slot, and leaves one that another has set since."""
    redis = stores.redis
    claim = wanted()
    assert await stores.place(claim, seconds=60)
    rival = rival_of(claim)
    await stores.intents.clear_intents([(rival, True)])
    assert await redis.exists(keys_of(claim.claims)[0])
    await stores.intents.clear_intents([(BookingIntent("booking", claim.claims, claim.holder), True)])
    assert not await redis.exists(keys_of(claim.claims)[0])


async def test_a_redis_that_was_late_once_is_asked_again(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One answer that did not come in time makes nobody pass over a hold, and refuses none."""
    execute: Any = Redis.execute_command
    claim, late = wanted(), {"PING"}

    async def late_execute(client: Redis, *command: Any) -> Any:
        if command[0] in late:
            late.remove(command[0])
            raise RedisTimeoutError
        return await execute(client, *command)

    monkeypatch.setattr(Redis, "execute_command", late_execute)
    assert await stores.place(claim, seconds=60)
    late.add("EVALSHA")
    rival = rival_of(claim)
    assert await stores.intents.register_intents([rival], seconds=1) == [HoldState.OTHERS]
    assert not late


async def test_all_that_were_late_in_one_moment_are_asked_again(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paused worker finds the time of all its questions up at once: none of them passes over a hold."""
    execute: Any = Redis.execute_command
    claim = wanted()
    late = set[asyncio.Task[Any] | None]()

    async def late_execute(client: Redis, *command: Any) -> Any:
        await asyncio.sleep(0)
        if (task := asyncio.current_task()) not in late:
            late.add(task)
            raise RedisTimeoutError
        return await execute(client, *command)

    assert await stores.place(claim, seconds=60)
    monkeypatch.setattr(Redis, "execute_command", late_execute)
    rivals = [rival_of(claim, f"booking {n}") for n in range(4)]
    found = await asyncio.gather(*(stores.intents.register_intents([rival], seconds=1) for rival in rivals))
    assert found == [[HoldState.OTHERS]] * 4
    assert all(await asyncio.gather(*(stores.place(wanted(), seconds=60) for _ in range(4))))


async def test_a_redis_that_is_back_is_asked_again_as_before(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis is lost it is asked once; after its first answer, one that is late is no loss again."""
    redis = stores.redis
    in_time = [False, False, False, True, False, True]

    async def ping() -> None:
        if not in_time.pop(0):
            raise RedisTimeoutError

    monkeypatch.setattr(redis, "ping", ping)
    for _ in range(2):
        with pytest.raises(HoldsUnreachable):
            await stores.place(wanted(), seconds=60)
    for _ in range(2):
        assert await stores.place(wanted(), seconds=60)
    assert in_time == []


async def test_a_hold_whose_answer_was_lost_is_unknown(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Redis was asked to set, and did not answer, may be set."""
    execute: Any = Redis.execute_command

    async def lose(client: Redis, *command: Any) -> Any:
        answer = await execute(client, *command)
        if command[0] != "PING":
            raise RedisTimeoutError
        return answer

    monkeypatch.setattr(Redis, "execute_command", lose)
    with pytest.raises(OutcomeUnknown):
        await stores.place(wanted(), seconds=60)


async def test_a_booking_whose_time_is_up_is_under_way_no_longer(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that nobody could say to be decided is waited for until its time is up, whatever else goes on."""
    redis = stores.redis
    claim = wanted()
    monkeypatch.setattr(intents_module, "INTENT_MARGIN_MS", 0)
    for booking, seconds in (("orphan", 0.05), ("other", 60)):
        await stores.intents.register_intents(
            [BookingIntent(booking, claim.claims, claim.holder)], seconds=seconds
        )
    under_way = ["orphan", "other"]
    async with asyncio.timeout(10):
        while "orphan" in under_way:
            await asyncio.sleep(0.01)
            under_way = (await stores.holds.remaining_intents([(claim.claims, ["orphan", "other"])]))[0]
    assert under_way == ["other"]
    ends = [await redis.pttl(key) for key in keys_of(claim.claims) if await redis.exists(key)]
    assert ends
    assert all(0 < end <= 60_000 for end in ends)


async def test_a_booking_that_is_met_late_leaves_nothing(stores: Stores) -> None:
    """Where its time is up before it enters, for its worker was paused, nothing stays in Redis for ever."""
    redis = stores.redis
    claim = wanted()
    await stores.intents.register_intents([BookingIntent("late", claim.claims, claim.holder)], seconds=-60)
    ends = [await redis.pttl(key) for key in keys_of(claim.claims) if await redis.exists(key)]
    assert ends
    assert all(0 < end <= INTENT_MARGIN_MS for end in ends)


async def test_a_booking_that_is_refused_is_not_under_way(stores: Stores) -> None:
    """One whose first answer was lost, and that is refused when it asks again, keeps no hold waiting."""
    claim = wanted()
    assert await stores.intents.register_intents([rival_of(claim)], seconds=60) == [HoldState.FREE]
    assert await stores.place(claim, seconds=60)
    assert await stores.intents.register_intents([rival_of(claim)], seconds=60) == [HoldState.OTHERS]
    assert await stores.holds.remaining_intents([(claim.claims, ["booking"])]) == [[]]


async def test_what_many_ask_together_is_asked_in_parts(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pipeline carries more than Redis answers in time, but for a single booking; none is left out."""
    redis = stores.redis
    execute, keys = Pipeline.execute, list[int]()

    async def count(pipeline: Pipeline, **options: bool) -> list[Any]:
        keys.append(sum(int(args[2]) for args, _ in pipeline.command_stack))
        return await execute(pipeline, **options)

    claims = [wanted(minutes=24 * 60) for _ in range(20)]
    held = claims[::3]
    for claim in held:
        await stores.place(claim, seconds=60)
    monkeypatch.setattr(Pipeline, "execute", count)
    intents = [rival_of(claim, str(n)) for n, claim in enumerate(claims)]
    found = await stores.intents.register_intents(intents, seconds=60)
    assert found == [HoldState.OTHERS if claim in held else HoldState.FREE for claim in claims]
    await stores.intents.clear_intents([(intent, False) for intent in intents])
    free = [key for claim in claims if claim not in held for key in keys_of(claim.claims)]
    assert not await redis.exists(*free)
    assert sum(keys) == 2 * 20 * 2 * 96
    assert max(keys) <= MOST_KEYS


async def test_of_parts_the_lost_ones_are_not_read(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Redis is lost in the middle, what it had said before counts."""
    execute, answers = Pipeline.execute, iter([True])

    async def answer_once(pipeline: Pipeline, **options: bool) -> list[Any]:
        if next(answers, False):
            return await execute(pipeline, **options)
        raise RedisTimeoutError

    claims = [wanted(minutes=24 * 60) for _ in range(10)]
    await stores.place(claims[0], seconds=60)
    monkeypatch.setattr(Pipeline, "execute", answer_once)
    found = await stores.intents.register_intents([rival_of(claim) for claim in claims], seconds=1)
    assert found == [HoldState.OTHERS, *[HoldState.FREE] * 4, *[HoldState.UNREACHABLE] * 5]


async def test_many_long_bookings_at_once_pass_over_no_hold(stores: Stores) -> None:
    """Batches as large as they get, of bookings of a day on a fine grid: Redis answers all in time."""
    claim = wanted(minutes=24 * 60, grid=5)
    assert await stores.place(claim, seconds=60)
    batches = [[rival_of(claim, f"{batch} {n}") for n in range(128)] for batch in range(4)]
    free = [[replace(each, claims=replace(each.claims, site=fresh_site())) for each in b] for b in batches]
    found = await asyncio.gather(
        *(
            stores.intents.register_intents([*others, *own], seconds=60)
            for others, own in zip(batches, free, strict=True)
        )
    )
    assert found == [[HoldState.OTHERS] * 128 + [HoldState.FREE] * 128] * 4


async def test_however_many_ask_at_once_each_has_its_turn(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More questions than there may be connections do not make Redis a lost one."""
    monkeypatch.setattr(scripts_module, "MOST_CONNECTIONS", 2)
    with servers.new_stack() as stack:
        redis = connect_redis(stack.env["REDIS_URL"])
        redis.connection_pool.max_connections = 2
        stores = Stores.on(redis)
        await asyncio.gather(*(stores.holds.ping() for _ in range(8)))
        await redis.aclose()


async def test_a_cut_connection_is_not_a_lost_redis(servers: Servers) -> None:
    """Connections that were cut while nobody used them fail nothing, and make nobody pass over a hold."""
    with servers.new_stack() as stack:
        redis, cutter = (connect_redis(stack.env["REDIS_URL"]) for _ in range(2))
        stores = Stores.on(redis)
        for _ in range(10):
            await asyncio.gather(*(stores.holds.ping() for _ in range(8)))  # it raises where Redis is lost
            await cutter.client_kill_filter(_type="normal", skipme=True)
        await redis.aclose()
        await cutter.aclose()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_connection_that_is_cut_as_it_is_written_to_is_not_a_lost_redis(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Whatever the event loop says of it, Redis is asked again over another connection."""
    send, cut = Connection.send_packed_command, list[Any]()

    async def cut_and_send(connection: Connection, command: Any, **options: Any) -> None:
        if not cut:
            cut.append(command)
            assert connection._writer
            connection._writer.transport.abort()
            with suppress(OSError):
                await connection._writer.wait_closed()
        await send(connection, command, **options)

    async def ask(url: str) -> None:
        redis = connect_redis(url)
        stores = Stores.on(redis)
        await stores.holds.ping()
        monkeypatch.setattr(Connection, "send_packed_command", cut_and_send)
        assert await stores.found_by(rival_of(wanted())) is HoldState.FREE
        await redis.aclose()

    with servers.new_stack() as stack, asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(ask(stack.env["REDIS_URL"]))
    assert len(cut) == 1


@pytest.mark.parametrize("longer", ["hold", "booking"])
async def test_a_hold_hears_of_a_booking_under_way_on_any_of_its_instants(
    stores: Stores, longer: str
) -> None:
    """Of a hold and a booking one lasts half an hour, and the other is in its second quarter: they meet."""
    both = wanted(minutes=30)
    second = part(both, 1, 2)
    claim, booked = (both, second) if longer == "hold" else (second, both)
    rival = rival_of(booked)
    await stores.intents.register_intents([rival], seconds=60)
    placed = await stores.place(claim, seconds=60)
    assert placed is not None
    assert placed.intents == ["booking"]
    assert await stores.holds.remaining_intents([(claim.claims, placed.intents)]) == [["booking"]]


async def test_a_redis_that_takes_no_writes_says_of_nothing_that_it_is_held(tmp_path: Path) -> None:
    """Where Redis is there and refuses to write, bookings go on as without it, and no hold is granted."""
    with EmbeddedRedis(tmp_path) as server:
        redis = connect_redis(server.url)
        stores = Stores.on(redis)
        await redis.config_set("min-replicas-to-write", 1)
        assert await stores.found_by(rival_of(wanted())) is HoldState.UNREACHABLE
        with pytest.raises(HoldsUnreachable):
            await stores.place(wanted(), seconds=60)
        await redis.aclose()


@pytest.mark.parametrize("lost", [False, True], ids=["there", "lost"])
async def test_a_worker_that_stood_still_does_not_take_redis_for_lost(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """A worker that is frozen again and again finds its time up, and passes over no hold: it asks again.

    One whose time runs out so books nothing. A Redis that really does not answer is lost after two questions.
    """
    execute: Any = Redis.execute_command
    claim, asked = wanted(), list[float]()
    await grant(stores, claim)

    async def execute_late(client: Redis, *command: Any) -> Any:
        asked.append(time.monotonic())
        if lost:
            raise RedisTimeoutError
        if len(asked) <= 4:
            time.sleep(ANSWER_SECONDS + 2 * LATE_SECONDS)  # noqa: ASYNC251  # the whole process stands still
            raise RedisTimeoutError
        return await execute(client, *command)

    monkeypatch.setattr(Redis, "execute_command", execute_late)
    if lost:
        assert await stores.found_by(rival_of(claim)) is HoldState.UNREACHABLE
        assert len(asked) == 2
        return
    assert await stores.found_by(rival_of(claim)) is HoldState.OTHERS
    asked.clear()
    found = await stores.intents.register_intents([rival_of(claim)], seconds=1.5)
    assert found == [HoldState.NOT_ASKED]
    assert len(asked) == 2


async def test_a_hold_that_redis_could_not_be_asked_for_says_so(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether Redis is lost or could not be asked in time, the caller hears one type of refusal."""

    async def ping_late() -> None:
        time.sleep(ANSWER_SECONDS + 2 * LATE_SECONDS)  # noqa: ASYNC251  # the whole process stands still
        raise RedisTimeoutError

    monkeypatch.setattr(stores.redis, "ping", ping_late)
    with pytest.raises(HoldsUnreachable) as refused:
        await stores.place(wanted(), seconds=0.6)
    assert type(refused.value) is HoldsUnreachable
