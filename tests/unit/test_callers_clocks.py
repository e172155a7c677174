"""A worker detects a caller whose clock is wrong."""

import pytest
import structlog
from prometheus_client import REGISTRY

from shared.worker.caller_clock_skew import CallerClockSkew

NOW = 1_893_456_000_000


@pytest.mark.parametrize(
    ("asked_at", "deadline", "side"),
    [
        (None, None, None),
        (NOW - 4000, NOW + 1000, None),
        (NOW + 200, NOW + 60_000, None),
        (NOW, NOW - 300, None),
        (NOW + 2000, NOW + 3000, "ahead"),
        (None, NOW + 90_000, "ahead"),
        (NOW - 90_000, None, "behind"),
        (None, NOW - 10_000, "behind"),
    ],
)
def test_wrong_clock_is_counted_and_logged_once(
    asked_at: int | None, deadline: int | None, side: str | None
) -> None:
    """A time in the future or long past at receipt is counted, and one warning is logged."""

    def counted() -> float:
        labels = {"side": side or "ahead"}
        return REGISTRY.get_sample_value("booking_callers_skewed_total", labels) or 0.0

    clocks, before = CallerClockSkew(), counted()
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            clocks.note(NOW, asked_at, deadline)
    assert counted() - before == (3 if side else 0)
    assert [line["side"] for line in lines] == ([side] if side else [])
