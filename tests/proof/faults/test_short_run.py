"""A short proof under faults: a cluster is broken for twenty seconds, and every answer is judged."""

from collections import Counter

import pytest

from tests.proof.faults.fault_catalog import FAULT_KINDS
from tests.proof.faults.run import RunOptions, run

SEED = 7


@pytest.mark.timeout(180)
async def test_no_promise_is_broken_under_faults() -> None:
    """While services and servers fail in turn, every answer is true and every 201 is durable."""
    print(f"seed {SEED}")
    result = await run(RunOptions(seed=SEED, seconds=20, kinds=sorted(FAULT_KINDS)))
    outcomes = Counter(operation.outcome for operation in result.history.operations)
    assert not result.verdict.violations, str(result.verdict)
    assert outcomes["ok"] > 50
    assert outcomes["refused"] > 50
    assert len(result.history.faults) >= 3


# Faults that are users of NATS with all permissions: accounts refuse them.
INTRUDERS = {"nats_deaf_member", "nats_lose_first_attempts", "nats_answer_late", "nats_malformed"}


@pytest.mark.timeout(180)
async def test_no_promise_is_broken_under_faults_with_accounts() -> None:
    """The same on a cluster of NATS with accounts, whose members are cut off and killed too."""
    kinds = sorted(set(FAULT_KINDS) - INTRUDERS)
    result = await run(RunOptions(seed=SEED, seconds=20, kinds=kinds, secure=True))
    outcomes = Counter((operation.via, operation.outcome) for operation in result.history.operations)
    assert not result.verdict.violations, str(result.verdict)
    assert outcomes["nats", "ok"] > 20
    assert outcomes["http", "ok"] > 20
    assert result.history.events
    assert len(result.history.faults) >= 3
