"""Deadlines: a caller cannot make a worker wait longer than the request timeout."""

import time

import pytest

from shared.contract.deadline import Deadline


@pytest.mark.parametrize("ahead", [4, 60, 10**9])
def test_deadline_beyond_the_timeout_counts_as_the_timeout(ahead: int) -> None:
    """A later deadline counts as the request timeout; an earlier one is used unchanged."""
    header = str(int((time.time() + ahead) * 1000))
    assert min(ahead, 5) - 1 < Deadline.from_header(header, longest_seconds=5).remaining <= min(ahead, 5)


def test_command_without_a_deadline_gets_the_timeout() -> None:
    """Without the header, the deadline is the receipt plus the request timeout."""
    assert 4 < Deadline.from_header(None, longest_seconds=5).remaining <= 5
