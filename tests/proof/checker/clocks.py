"""How wrong a moment may be that a worker's clock has said."""

from collections.abc import Callable, Iterable

from tests.proof.faults.history import Fault

SKEW_SECONDS = 0.25
"""By how much the clocks of two hosts may differ."""
WRONG_SECONDS = 2.0
"""By how much the clock of a worker is set wrong."""
SKEWING = ("worker_clock",)
"""Faults that set a worker's clock wrong."""
ClockError = Callable[[float], float]
"""By how many seconds a moment may differ from the truth."""


def clock_error(faults: Iterable[Fault]) -> ClockError:
    """Build the function for a run with these faults.

    A worker with a wrong clock leaves commands to others only while one of them is ready.
    """
    skewing = [fault for fault in faults if fault.kind in SKEWING]

    def error(moment: float) -> float:
        wrong = SKEW_SECONDS + WRONG_SECONDS
        for fault in skewing:
            if fault.began - wrong <= moment and (fault.ended is None or moment <= fault.ended + wrong):
                return wrong
        return SKEW_SECONDS

    return error
