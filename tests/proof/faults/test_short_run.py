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
