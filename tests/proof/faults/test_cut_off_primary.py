"""A primary that is cut off from the majority and has not noticed yet: others may have a new one."""

import nats

from tests.callers import Answer, NatsCaller
from tests.proof.faults.cluster import Cluster
from tests.proof.faults.link_faults import HANGING, under
from tests.proof.faults.proxy import Rule
from tests.slots import fresh


async def hold_by_cut_off_primary(cluster: Cluster) -> Answer:
    """What a hold is answered where its worker sees only the primary, and the primary no other member.

    It is not the first one: where the barrier's document is there, a write that changes nothing would pass.
    """
    primary = await cluster.primary()
    others = frozenset(cluster.mongods) - {primary}
    hold_workers = frozenset(cluster.services.names("hold_worker"))
    inward, outward = (
        Rule(frozenset({primary}), others, **HANGING),
        Rule(others, hold_workers | {primary}, **HANGING),
    )
    async with await nats.connect(cluster.nats_urls[0]) as connection:
        caller = NatsCaller(connection)
        assert (await caller.hold(fresh())).status == 200
        async with under(cluster, inward, outward):
            return await caller.hold(fresh())


async def test_a_primary_without_a_majority_grants_no_hold(cluster: Cluster) -> None:
    """Where MongoDB cannot prove that what it reads is the latest, a hold is not granted."""
    await cluster.start_over()
    answer = await hold_by_cut_off_primary(cluster)
    assert (answer.status, answer.body.get("outcome")) == (503, "not_executed")


async def test_without_the_read_barrier_a_primary_without_a_majority_grants_holds(cluster: Cluster) -> None:
    """Control: without the majority write before the read, a slot that was booked elsewhere could be held."""
    await cluster.start_over("no_read_barrier")
    assert (await hold_by_cut_off_primary(cluster)).status == 200
