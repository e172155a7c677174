"""Deadlines: no caller can make a worker wait for longer than its own timeout."""

import time

import pytest

from shared.contract.deadline import Deadline


@pytest.mark.parametrize("ahead", [4, 60, 10**9])
def test_a_deadline_far_ahead_counts_as_the_timeout(ahead: int) -> None:
    """A header that names a later moment than the request timeout counts as that; an earlier one as it is."""
    header = str(int((time.time() + ahead) * 1000))
    assert min(ahead, 5) - 1 < Deadline.from_header(header, longest_seconds=5).remaining <= min(ahead, 5)


def test_without_a_deadline_the_timeout_counts() -> None:
    """A command without the header is started within the request timeout, from its receipt, or not at all."""
    assert 4 < Deadline.from_header(None, longest_seconds=5).remaining <= 5
