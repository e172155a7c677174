"""An insert that reaches MongoDB after its caller was refused, and after the rival has cancelled."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import nats
from pymongo import MongoClient

from tests.callers import Answer, NatsCaller
from tests.proof.faults.cluster import Cluster
from tests.proof.faults.link_faults import under
from tests.proof.faults.proxy import LinkRule, Way
from tests.proof.faults.stored import COLLECTION
from tests.slots import fresh
from tests.stack import wait_until

KEY = "of a caller that retries"
DELAYING, OTHER = "booking_worker-1", "booking_worker-2"
ENOUGH_CONNECTIONS = 8


@dataclass(frozen=True)
class LateInsert:
    """The answer to the caller's retry after a 504, and the statuses of the rows with its key."""

    retry: Answer
    rows: list[str]


async def insert_late(cluster: Cluster) -> LateInsert:
    """Delay an insert until its caller was refused and the rival's booking is cancelled."""
    for name in cluster.services.names("booking_worker"):
        if name != DELAYING:
            await asyncio.to_thread(cluster.services.kill, name)
    slot = fresh()
    async with await nats.connect(cluster.nats_urls[0]) as connection:
        caller = NatsCaller(connection)
        # The worker opens connections first, so that the insert is in flight on one of them.
        seen = await asyncio.gather(*(caller.book(fresh()) for _ in range(ENOUGH_CONNECTIONS)))
        assert {answer.status for answer in seen} == {201}
        late = LinkRule(frozenset(cluster.mongods), frozenset({DELAYING}), up=Way.STALL)
        async with under(cluster, late):
            # Enough time for a busy worker to send the insert, before its last index check expires.
            deadline = str(int((time.time() + 2) * 1000))
            first = await caller.ask("book", slot, **{"Idempotency-Key": KEY, "Deadline": deadline})
            assert first.status == 504, "its insert is on its way"
            await asyncio.to_thread(cluster.services.kill, DELAYING)
            cluster.services.start(OTHER)
            await asyncio.to_thread(cluster.services.stack.wait_serving)
            rival = await caller.book({**slot, "patientName": "Grace Hopper"})
            assert rival.status == 201
            retry = await caller.book(slot, **{"Idempotency-Key": KEY})
            cancel = await caller.ask("cancel", {"id": rival.body["appointment"]["id"]})
            assert cancel.status == 200
            before = await asyncio.to_thread(_inserts, cluster.mongo_uri)
        await asyncio.to_thread(wait_until, lambda: _inserts(cluster.mongo_uri) > before, "it has arrived")
        assert (await caller.book(fresh())).status == 201  # MongoDB executes it after the late insert
    return LateInsert(retry, await asyncio.to_thread(_statuses, cluster.mongo_uri, slot["site"]))


def _inserts(uri: str) -> int:
    """Return how many insert commands have reached the primary."""
    with MongoClient[dict[str, Any]](uri) as client:
        total: int = client.admin.command("serverStatus")["metrics"]["commands"]["insert"]["total"]
        return total


def _statuses(uri: str, site: str) -> list[str]:
    with MongoClient[dict[str, Any]](uri) as client:
        rows = client.get_default_database()[COLLECTION]
        return [row["status"] for row in rows.find({"site": site, "idempotencyKey": KEY})]


async def test_late_insert_of_a_refused_caller_books_nothing(cluster: Cluster) -> None:
    """An unknown outcome, then a 409: the late insert of the first attempt books nothing."""
    await cluster.start_over()
    result = await insert_late(cluster)
    assert result.retry.status == 409
    assert result.rows == ["refused"]


async def test_late_insert_books_without_final_refusals(cluster: Cluster) -> None:
    """Control: without a tombstone before the 409, the late insert makes a booking."""
    await cluster.start_over("no_final_refusals")
    result = await insert_late(cluster)
    assert result.retry.status == 409
    assert result.rows == ["booked"]
