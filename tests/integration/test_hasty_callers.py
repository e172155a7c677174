"""Callers whose deadlines are too short: their failures say nothing of what a worker can do."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

import nats
import pytest

from shared.contract.headers import DEADLINE
from tests.callers import NatsCaller
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack

PATIENCE_MS = range(2, 22)
"""Some of these end while MongoDB writes, however fast the machine is."""
UNKNOWN = 10
MOST_ROUNDS = 100


@pytest.fixture
def stack(servers: Servers) -> Iterator[Stack]:
    with servers.new_stack() as stack:
        yield stack


async def test_hasty_callers_make_no_worker_leave(stack: Stack) -> None:
    """Commands that fail by their own deadline of some milliseconds cost no other caller the worker."""
    workers = [stack.start(kind) for kind in ("booking_worker", "hold_worker")]
    await asyncio.to_thread(stack.wait_serving)
    async with await nats.connect(stack.env["NATS_URL"]) as connection:
        caller = NatsCaller(connection)
        statuses = Counter[int]()
        for _ in range(MOST_ROUNDS):
            for patience in PATIENCE_MS:
                deadline = {DEADLINE: str(int(time.time() * 1000) + patience)}
                asked = (caller.request(s, fresh(), deadline) for s in ("booking.v1.book", "hold.v1.place"))
                statuses.update([answer.status for answer in await asyncio.gather(*asked)])
            if statuses[504] >= UNKNOWN:
                break
        assert statuses[504] >= UNKNOWN, statuses
        assert set(statuses) <= {200, 201, 503, 504}
        assert (await caller.book(fresh())).status == 201
        assert (await caller.hold(fresh())).status == 200
    assert not any('"subject_left"' in worker.log for worker in workers)
