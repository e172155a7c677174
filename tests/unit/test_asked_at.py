"""A worker's reading of `askedAt`, the time at which a caller asked."""

import pytest

from shared.contract.asked_at import CLOCK_SKEW_MS, accept_asked_at, read_asked_at
from shared.contract.errors import InvalidRequest

RECEIVED = 1_893_456_000_000


@pytest.mark.parametrize("asked_at", [0, RECEIVED - 5000, RECEIVED, RECEIVED + CLOCK_SKEW_MS])
def test_asked_at_within_clock_skew_counts_as_sent(asked_at: int) -> None:
    """A time up to 250 ms after the receipt is used unchanged."""
    assert accept_asked_at(asked_at, RECEIVED) == asked_at


@pytest.mark.parametrize("asked_at", [None, RECEIVED + CLOCK_SKEW_MS + 1, RECEIVED + 10**9])
def test_absent_or_future_asked_at_counts_as_receipt(asked_at: int | None) -> None:
    """No caller gains precedence by a time in the future."""
    assert accept_asked_at(asked_at, RECEIVED) == RECEIVED


@pytest.mark.parametrize("value", ["", " 1", "-1", "1.5", "1e3", "1" * 16, "now"])
def test_malformed_header_is_refused_by_name(value: str) -> None:
    """A malformed `Asked-At` gets 400, and the sentence names the header."""
    with pytest.raises(InvalidRequest, match="^Asked-At header must be"):
        read_asked_at(value)
