"""What processes cost, read from /proc: CPU time, and memory at its peak."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Pids = Mapping[str, Sequence[int]]
"""The processes of a part, by its name."""

SETTLE_SECONDS = 10.0
LOOK_SECONDS = 0.3
IDLE_SHARE = 0.15
"""Of one core. Idle services and servers watch each other, for some 50 ms a second in all."""

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """What a process with all its threads has used so far, in user and kernel mode."""
    # The name, in parentheses, may have blanks; utime and stime are the fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_mb(pid: int) -> float:
    """The most memory that a process ever had resident (VmHWM), in MB of 2^20 bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


@dataclass(frozen=True)
class CpuMeter:
    """What parts have used since it was made; a part of several processes counts as their sum."""

    pids: Pids
    began: Mapping[str, float]

    @classmethod
    def start(cls, pids: Pids) -> "CpuMeter":
        return cls(pids, _used(pids))

    def used(self) -> dict[str, float]:
        """CPU seconds by part."""
        return {part: seconds - self.began[part] for part, seconds in _used(self.pids).items()}


def wait_idle(pids: Pids) -> None:
    """Wait until the work that callers left behind is done: until parts use hardly any CPU time."""
    ends = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < ends:
        meter = CpuMeter.start(pids)
        time.sleep(LOOK_SECONDS)
        if sum(meter.used().values()) < IDLE_SHARE * LOOK_SECONDS:
            return


def peaks(pids: Pids) -> dict[str, float]:
    """Peak memory by part in MB, of the largest process of each."""
    return {part: max(map(peak_mb, each)) for part, each in pids.items()}


def _used(pids: Pids) -> dict[str, float]:
    return {part: sum(map(cpu_seconds, each)) for part, each in pids.items()}
