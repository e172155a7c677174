"""Callers whose deadlines are too short: their failures say nothing of what a worker can do."""

import asyncio
import time
from collections import Counter
from itertools import cycle

import nats
import pytest
from nats.errors import NoRespondersError

from shared.contract.headers import DEADLINE
from tests.callers import NatsCaller
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack

PATIENCE_MS = range(2, 22)
"""Some of these end while MongoDB writes, however fast the machine is."""
UNKNOWN = 10
MOST = 4000


async def test_hasty_callers_make_no_worker_leave(servers: Servers) -> None:
    """Commands that fail by their own deadline of some milliseconds cost no other caller the worker.

    A look at MongoDB that takes long, as on a machine that is busy, may: so of three runs one has to show it.
    """
    for _ in range(3):
        with servers.new_stack() as stack:
            if not await workers_leave(stack):
                return
    pytest.fail("a worker left in each of three runs")


async def workers_leave(stack: Stack) -> bool:
    """Whether a worker of either kind leaves the queue group of a subject."""
    workers = [stack.start(kind) for kind in ("booking_worker", "hold_worker")]
    await asyncio.to_thread(stack.wait_serving)
    async with await nats.connect(stack.env["NATS_URL"]) as connection:
        caller = NatsCaller(connection)
        statuses = Counter[int]()
        for patience in cycle(PATIENCE_MS):
            deadline = {DEADLINE: str(int(time.time() * 1000) + patience)}
            asked = (caller.request(s, fresh(), deadline) for s in ("booking.v1.book", "hold.v1.place"))
            try:
                statuses.update([answer.status for answer in await asyncio.gather(*asked)])
            except NoRespondersError:
                return True
            if statuses[504] >= UNKNOWN:
                break
            assert statuses.total() < MOST, statuses
        assert set(statuses) <= {200, 201, 503, 504}
    return any('"subject_left"' in worker.log for worker in workers)
