"""Any bytes over HTTP and NATS: no 5xx but 503 and 504, no silence, no growth, and it serves afterwards."""

import pytest

from tests.fuzz.stack import fuzz
from tests.servers import Servers

SEED, SECONDS = 20261129, 15


@pytest.mark.timeout(300)
def test_any_input_gets_an_answer_and_breaks_nothing(servers: Servers) -> None:
    """`make fuzz` does the same for ten minutes with a seed of its own."""
    report = fuzz(servers, SEED, SECONDS)
    assert report.inputs >= 100
    assert {"http 400", "http 404", "nats 400"} <= set(report.statuses), report
