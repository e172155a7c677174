"""Each safeguard is needed: without it the proof fails, with a violation of the safeguard's rule."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import pytest

from tests.proof.checker import Rule
from tests.proof.faults.cluster import Cluster
from tests.proof.faults.fault_catalog import FaultKind
from tests.proof.faults.link_faults import HANGING, under
from tests.proof.faults.nats_faults import answer_late, lose_first_attempts
from tests.proof.faults.nemesis import PlannedFault
from tests.proof.faults.proxy import LinkRule
from tests.proof.faults.run import run_on
from tests.proof.faults.server_faults import depose_primary
from tests.proof.faults.service_faults import pause_service
from tests.proof.faults.workload import Load

SEED = 7
MOST_RUNS = 5
TOGETHER = Load(SEED, rate=150, clients=48, calls_a_slot=7)
# Callers of a hanging worker wait, so frequent calls need many callers, and each needs a slot of its own.
APART = Load(SEED, rate=150, clients=96, calls_a_slot=0.3)
# An attempt of the gateway is lost. Its caller retries and is refused, because a rival has the slot. The
# rival cancels. Then the gateway sends its next attempt.
BOOKING = Load(SEED, rate=150, clients=60, calls_a_slot=0.3, contests=1, contest=("book",))
WAITING = replace(BOOKING, contest=("wait",))
HOLDING = replace(BOOKING, contest=("hold",))


@asynccontextmanager
async def lag_secondary(cluster: Cluster, _: Random) -> AsyncIterator[str]:
    """Cut one secondary off from the other members; it still serves its clients."""
    primary = await cluster.primary()
    behind = next(name for name in cluster.mongods if name != primary)
    others = frozenset(cluster.mongods) - {behind}
    async with under(cluster, LinkRule(others, frozenset({behind}), **HANGING)):
        yield behind


BEHIND = FaultKind("mongo_lag_secondary", "mongo", lag_secondary)
DEPOSED = FaultKind("mongo_isolate_primary", "mongo", depose_primary)
ANSWERED_LATE = FaultKind("nats_answer_late", "nats", answer_late)
FIRST_LOST = FaultKind("nats_lose_first_attempts", "nats", lose_first_attempts)
PAUSED = FaultKind("worker_pause", "service", partial(pause_service, module="booking_worker"))


@dataclass(frozen=True)
class Control:
    """The missing safeguards, the rule that is then broken, and the fault that this needs, if any.

    The fault begins after `pause` seconds, and outlasts every deadline that callers set.
    """

    without: str
    rule: Rule
    load: Load = TOGETHER
    fault: FaultKind | None = None
    pause: float = 1.0
    lasting: float = 2.5

    @property
    def faults(self) -> list[PlannedFault]:
        if self.fault is None:
            return []
        return [PlannedFault(self.fault, self.pause, self.lasting, after_previous=True, seed=str(SEED))]


# `make soak` runs these, too: `make test` has to end in minutes, and has another control of each rule. The
# safeguards of the last three also have controls in tests/integration, which `make test` runs.
SLOW_CONTROLS = (
    Control("first_claim_only", Rule.ONE_WINNER),
    Control("history_apart", Rule.LINEARIZABLE),
    Control("secondary_reads", Rule.LINEARIZABLE, TOGETHER, BEHIND),
    Control("one_delivery_at_a_time", Rule.WEBHOOK),
    Control("redirects_followed", Rule.WEBHOOK),
    Control("no_intents,sluggish_store", Rule.HOLD),
    Control("no_release_mark,no_look_at_callers", Rule.TRUE_REFUSAL, HOLDING, FIRST_LOST, 0.0, 4.0),
    Control("no_compare_and_set", Rule.HISTORY),
)
CONTROLS = (
    Control("no_index_check", Rule.ONE_WINNER),
    Control("write_concern_one", Rule.DURABLE, APART, DEPOSED),
    Control("no_deadline", Rule.IN_TIME, APART, PAUSED),
    Control("no_hold_check", Rule.HOLD),
    Control("no_key_lookup", Rule.TRUE_REFUSAL, APART),
    Control("no_final_refusals,no_look_at_callers", Rule.FINAL, BOOKING, FIRST_LOST, 0.0, 4.0),
    Control("late_refusal_ends", Rule.KNOWN_OUTCOME, WAITING, ANSWERED_LATE, 0.0, 4.0),
    Control("move_in_two_writes", Rule.HISTORY),
    Control("late_freeing", Rule.LINEARIZABLE),
    Control("later_lookup", Rule.EVENT),
    Control("gone_goes_on", Rule.WEBHOOK),
    *(SLOW_CONTROLS if "ALL_CONTROLS" in os.environ else ()),
)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.without)
async def test_without_a_safeguard_its_rule_is_broken(cluster: Cluster, control: Control) -> None:
    """Without one safeguard, services break its promise, and the checker names the rule.

    It takes two calls that meet. If none did in one short run, another run has another seed.
    """
    for seed in range(SEED, SEED + MOST_RUNS):
        print(f"seed {seed}")
        await cluster.start_over(control.without)
        result = await run_on(
            cluster,
            replace(control.load, seed=seed),
            control.faults,
            seconds=4,
            webhook_seconds=8 if control.rule is Rule.WEBHOOK else 0,
        )
        broken = {violation.rule for violation in result.verdict.violations}
        if control.rule in broken:
            return
    raise AssertionError(f"{control.rule} was not broken, but {broken}")
