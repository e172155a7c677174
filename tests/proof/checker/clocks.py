"""How far a time from a worker's clock may be from the true time."""

from collections.abc import Callable, Iterable

from tests.proof.faults.history import Fault

SKEW_SECONDS = 0.25
"""The largest difference between the clocks of two hosts."""
WRONG_SECONDS = 2.0
"""How far the clock fault sets a worker's clock off."""
SKEWING = ("worker_clock",)
"""Faults that set a worker's clock wrong."""
ClockError = Callable[[float], float]
"""By how many seconds a time may differ from the true time."""


def clock_error(faults: Iterable[Fault]) -> ClockError:
    """Build the function for a run with these faults.

    A worker with a wrong clock passes commands on only while another worker is ready.
    """
    skewing = [fault for fault in faults if fault.kind in SKEWING]

    def error(moment: float) -> float:
        wrong = SKEW_SECONDS + WRONG_SECONDS
        for fault in skewing:
            if fault.began - wrong <= moment and (fault.ended is None or moment <= fault.ended + wrong):
                return wrong
        return SKEW_SECONDS

    return error
