"""A primary without a majority that has not stepped down: the other members may have a new primary."""

import nats

from tests.callers import Answer, NatsCaller
from tests.proof.faults.cluster import Cluster
from tests.proof.faults.link_faults import HANGING, under
from tests.proof.faults.proxy import LinkRule
from tests.slots import fresh


async def hold_by_cut_off_primary(cluster: Cluster) -> Answer:
    """Return the answer to a hold whose worker reaches only an isolated primary.

    An earlier hold creates the read barrier's document: with it, a barrier write that changes nothing would
    succeed without a majority.
    """
    primary = await cluster.primary()
    others = frozenset(cluster.mongods) - {primary}
    hold_workers = frozenset(cluster.services.names("hold_worker"))
    inward, outward = (
        LinkRule(frozenset({primary}), others, **HANGING),
        LinkRule(others, hold_workers | {primary}, **HANGING),
    )
    async with await nats.connect(cluster.nats_urls[0]) as connection:
        caller = NatsCaller(connection)
        assert (await caller.hold(fresh())).status == 200
        async with under(cluster, inward, outward):
            return await caller.hold(fresh())


async def test_primary_without_majority_grants_no_hold(cluster: Cluster) -> None:
    """A hold is not granted if MongoDB cannot prove that its read is the latest."""
    await cluster.start_over()
    answer = await hold_by_cut_off_primary(cluster)
    assert (answer.status, answer.body.get("outcome")) == (503, "not_executed")


async def test_primary_without_majority_grants_holds_without_the_read_barrier(cluster: Cluster) -> None:
    """Control: without the read barrier, a hold is granted on a slot that may be booked elsewhere."""
    await cluster.start_over("no_read_barrier")
    assert (await hold_by_cut_off_primary(cluster)).status == 200
