"""The proof under faults, short: a cluster is broken for twenty seconds, and every answer is judged."""

from collections import Counter

import pytest

from tests.proof.faults.fault_catalog import KINDS
from tests.proof.faults.run import Options, run

SEED = 7


@pytest.mark.timeout(180)
async def test_no_promise_is_broken_under_faults() -> None:
    """With services and servers failing in turn, every answer is true and every 201 lasts."""
    print(f"seed {SEED}")
    result = await run(Options(seed=SEED, seconds=20, kinds=sorted(KINDS)))
    outcomes = Counter(operation.outcome for operation in result.history.operations)
    assert not result.verdict.violations, str(result.verdict)
    assert outcomes["ok"] > 50
    assert outcomes["refused"] > 50
    assert len(result.history.faults) >= 3
