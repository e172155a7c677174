"""Holds and intents while Redis is lost, late, or read-only."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import TimeoutError as RedisTimeoutError

from deploy.local.redis import Redis as EmbeddedRedis
from shared.contract.deadline import Deadline
from shared.contract.errors import HoldsUnreachable, OutcomeUnknown
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.holds import PLACED_MARGIN_MS, Release
from shared.stores.redis.intents import HoldState
from shared.stores.redis.server import ANSWER_SECONDS, LATE_SECONDS
from tests.integration.hold_stores import Stores, grant, rival_of, wanted


async def test_a_late_redis_answer_is_retried(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """After one late answer of Redis the call is retried: no hold is ignored, and no hold is refused."""
    execute: Any = Redis.execute_command
    claim, late = wanted(), {"EVALSHA"}

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


async def test_calls_that_are_late_together_are_all_retried(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a paused worker's Redis calls all time out at once, all are retried, and no hold is ignored."""
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
    rivals = [rival_of(claim) for n in range(4)]
    found = await asyncio.gather(*(stores.intents.register_intents([rival], seconds=1) for rival in rivals))
    assert found == [[HoldState.OTHERS]] * 4
    assert all(await asyncio.gather(*(stores.place(wanted(), seconds=60) for _ in range(4))))


async def test_a_redis_that_is_back_gets_retries_again(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost Redis gets one attempt a call; after its first answer, a late answer is retried again."""
    execute: Any = Redis.execute_command
    in_time = [False, False, False, True, False, True]

    async def execute_in_time(client: Redis, *command: Any) -> Any:
        if not in_time.pop(0):
            raise RedisTimeoutError
        return await execute(client, *command)

    monkeypatch.setattr(Redis, "execute_command", execute_in_time)
    for _ in range(2):
        with pytest.raises(HoldsUnreachable):
            await stores.place(wanted(), seconds=60)
    for _ in range(2):
        assert await stores.place(wanted(), seconds=60)
    assert in_time == []


async def test_a_hold_of_lost_answers_ends_with_its_deadline(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Redis places a hold but its answers are lost, the hold ends soon after its command's deadline."""
    execute: Any = Redis.execute_command
    claim = wanted()

    async def lose(client: Redis, *command: Any) -> Any:
        await execute(client, *command)
        raise RedisTimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(Redis, "execute_command", lose)
        with pytest.raises(HoldsUnreachable):
            await stores.place(claim, seconds=2)
    assert all(0 < end <= 2000 + PLACED_MARGIN_MS for end in await stores.ends(claim.claims))


async def test_answers_before_redis_is_lost_count(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """If Redis is lost in the middle of a batch, the answers that it gave before count."""
    execute, answers = Pipeline.execute, iter([True])

    async def answer_once(pipeline: Pipeline, **options: bool) -> list[Any]:
        if next(answers, False):
            return await execute(pipeline, **options)
        raise RedisTimeoutError

    claims = [wanted(minutes=24 * 60) for _ in range(10)]
    await stores.place(claims[0], seconds=60)
    monkeypatch.setattr(Pipeline, "execute", answer_once)
    found = await stores.intents.register_intents([rival_of(claim) for claim in claims], seconds=1)
    assert found == [HoldState.OTHERS, *[HoldState.FREE] * 3, *[HoldState.UNREACHABLE] * 6]


async def test_a_read_only_redis_grants_no_hold(tmp_path: Path) -> None:
    """While Redis refuses writes, free slots are booked, and no hold is granted or released."""
    with EmbeddedRedis(tmp_path) as server:
        redis = connect_redis(server.url)
        stores = Stores.on(redis)
        await redis.config_set("min-replicas-to-write", 1)
        assert await stores.found_by(rival_of(wanted())) is HoldState.FREE
        with pytest.raises(HoldsUnreachable):
            await stores.place(wanted(), seconds=60)
        (refused,) = await stores.holds.release_many([Release("site", "token", 1)], Deadline.after(60))
        assert isinstance(refused, HoldsUnreachable)
        await redis.aclose()


@pytest.mark.parametrize("lost", [False, True], ids=["there", "lost"])
async def test_a_paused_worker_does_not_count_redis_as_lost(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """A worker that is paused during its Redis calls retries them, and ignores no hold.

    If its deadline passes meanwhile, it books nothing. A Redis that never answers is lost after two attempts.
    """
    execute: Any = Redis.execute_command
    claim, asked = wanted(), list[float]()
    await grant(stores, claim)

    async def execute_late(client: Redis, *command: Any) -> Any:
        asked.append(time.monotonic())
        if lost:
            raise RedisTimeoutError
        if len(asked) <= 4:
            time.sleep(ANSWER_SECONDS + 2 * LATE_SECONDS)  # noqa: ASYNC251  # the whole process is paused
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


async def test_a_hold_without_a_redis_answer_is_refused_as_unreachable(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Redis could not be called before the deadline, the caller gets the refusal of a lost Redis."""

    async def answer_late(*_: Any) -> None:
        time.sleep(ANSWER_SECONDS + 2 * LATE_SECONDS)  # noqa: ASYNC251  # the whole process is paused
        raise RedisTimeoutError

    monkeypatch.setattr(stores.redis, "execute_command", answer_late)
    with pytest.raises(HoldsUnreachable) as refused:
        await stores.place(wanted(), seconds=0.6)
    assert type(refused.value) is HoldsUnreachable


async def test_a_release_whose_answer_was_lost_is_unknown(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that Redis does not answer is unknown; one that was never sent is not executed."""
    execute: Any = Redis.execute_command
    hold = wanted()
    await grant(stores, hold)

    async def lose(client: Redis, *command: Any) -> Any:
        answer = await execute(client, *command)
        if command[0] != "PING":
            raise RedisTimeoutError
        return answer

    async def ping() -> None:
        raise RedisTimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(stores.redis, "ping", ping)
        with pytest.raises(HoldsUnreachable):
            await stores.release(hold)
    assert await stores.found_by(rival_of(hold)) is HoldState.OTHERS
    monkeypatch.setattr(Redis, "execute_command", lose)
    with pytest.raises(OutcomeUnknown):
        await stores.release(hold)


async def test_a_lost_redis_does_not_make_slots_appear_unheld(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Redis is lost, reading the holds fails; it does not return an empty list."""
    hold = wanted()
    await grant(stores, hold)

    async def lose(*_: object) -> None:
        raise RedisTimeoutError

    monkeypatch.setattr(Redis, "execute_command", lose)
    with pytest.raises(HoldsUnreachable):
        await stores.held_of(hold.claims.site)
