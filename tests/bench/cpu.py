"""CPU time and peak memory of processes, from /proc."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Pids = Mapping[str, Sequence[int]]
"""The process ids of a part of the system, by the part's name."""

SETTLE_SECONDS = 10.0
SAMPLE_SECONDS = 0.3
IDLE_SHARE = 0.15
"""Of one core. Idle services and servers watch each other, which takes some 50 ms a second in all."""

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all its threads, in user and kernel mode."""
    # The name, in parentheses, may contain blanks; utime and stime are fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_mb(pid: int) -> float:
    """Return the peak resident memory of a process (VmHWM), in MB of 2^20 bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


@dataclass(frozen=True)
class CpuMeter:
    """Measures the CPU time of parts since its start; a part's processes are summed."""

    pids: Pids
    began: Mapping[str, float]

    @classmethod
    def start(cls, pids: Pids) -> "CpuMeter":
        return cls(pids, _used(pids))

    def used(self) -> dict[str, float]:
        """Return the CPU seconds by part."""
        return {part: seconds - self.began[part] for part, seconds in _used(self.pids).items()}


def wait_idle(pids: Pids) -> None:
    """Wait until the parts have finished the work of earlier callers, and use hardly any CPU time."""
    ends = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < ends:
        meter = CpuMeter.start(pids)
        time.sleep(SAMPLE_SECONDS)
        if sum(meter.used().values()) < IDLE_SHARE * SAMPLE_SECONDS:
            return


def peaks(pids: Pids) -> dict[str, float]:
    """Return the peak memory in MB by part, of the part's largest process."""
    return {part: max(map(peak_mb, processes)) for part, processes in pids.items()}


def _used(pids: Pids) -> dict[str, float]:
    return {part: sum(map(cpu_seconds, processes)) for part, processes in pids.items()}
