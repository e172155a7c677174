"""Starts processes, restarts what dies, stops everything in order.

honcho ends everything when one process ends, and neither restarts nor orders; that is why this exists.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from deploy.local.console import say
from deploy.local.errors import StackError
from deploy.local.process import POLL_SECONDS, Process, end

READY_SECONDS = 60.0
SLOW_SECONDS = 10.0
STEADY_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 5.0
STARTS = 2


def stop_order(service_seconds: float) -> tuple[tuple[tuple[str, ...], float], ...]:
    """Which kinds of processes stop one after the other, and after how many seconds each is killed.

    Services drain, for which they may take `service_seconds`. Servers answer nobody any more by then.
    """
    return (
        (("gateway",), service_seconds),
        (("booking_worker", "hold_worker"), service_seconds),
        (("booking_worker.events", "gateway.webhooks"), service_seconds),
        (("nats",), 0.5),
        (("redis",), 1.0),
        (("mongod",), 2.0),
    )


class Stopped(Exception):
    """A signal asked for the end."""


class Supervisor:
    """The processes of one stack. `changed` is called whenever one was started.

    A service that is told to stop is killed after `service_seconds`.
    """

    def __init__(
        self,
        changed: Callable[[Sequence[Process]], None],
        *,
        service_seconds: float,
        verbose: bool = False,
    ) -> None:
        self.processes: list[Process] = []
        self._changed = changed
        self._service_seconds = service_seconds
        self._verbose = verbose
        self._signals = 0
        self._is_up = False
        self._deaths: dict[Process, int] = {}
        self._restart_at: dict[Process, float] = {}

    def on_signal(self, *_: object) -> None:
        """Handle a signal: the first asks for an orderly stop, the second for a quick one."""
        self._signals += 1

    def start(self, processes: Sequence[Process]) -> None:
        """Start processes and wait until all of them are ready.

        Raises:
            StackError: one does not come up; says why.
            Stopped: a signal came first.
        """
        for process in processes:
            self._spawn(process)
        ends, slow = time.monotonic() + READY_SECONDS, time.monotonic() + SLOW_SECONDS
        while problems := self._problems(processes):
            if time.monotonic() > ends:
                raise StackError(
                    f"Not ready after {READY_SECONDS:.0f} s: {_tell(problems)} "
                    f"(logs: {processes[0].log_file.parent})"
                )
            if time.monotonic() > slow:
                slow = ends
                say(f"Still waiting, and giving up after {READY_SECONDS:.0f} s: {_tell(problems)}")
            time.sleep(POLL_SECONDS)

    def watch(self) -> None:
        """Restart what dies, for ever.

        Raises:
            Stopped: a signal asked for the end.
        """
        self._is_up = True
        while True:
            self._step()
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop everything: the gateway, the workers, which drain, then the servers."""
        for kinds, seconds in stop_order(self._service_seconds):
            group = [process for process in self.processes if process.kind in kinds]
            end(group, seconds, hurry=lambda: self._signals > 1)
            for process in group if self._verbose else ():
                self._show(process)

    def _problems(self, processes: Sequence[Process]) -> dict[Process, str]:
        problems = {}
        for process in processes:
            self._step()
            if problem := process.problem() if process.running else "is not running":
                problems[process] = problem
        return problems

    def _step(self) -> None:
        if self._signals:
            raise Stopped
        for process in self.processes:
            if self._verbose:
                self._show(process)
            process.rotate_log()
            if process.running:
                continue
            if process not in self._restart_at:
                self._mourn(process)
            elif time.monotonic() >= self._restart_at[process]:
                self._revive(process)

    def _show(self, process: Process) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(process.fresh_output())
            sys.stdout.flush()

    def _mourn(self, process: Process) -> None:
        if time.monotonic() - process.started_at > STEADY_SECONDS:
            self._deaths.pop(process, None)
        deaths = self._deaths[process] = self._deaths.get(process, 0) + 1
        if not self._is_up and deaths >= STARTS:
            raise StackError(
                f"{process.name} does not start: {process.last_words()} (log: {process.log_file})"
            )
        pause = 0.0 if deaths == 1 else min(0.25 * 2**deaths, LONGEST_PAUSE_SECONDS)
        self._restart_at[process] = time.monotonic() + pause

    def _revive(self, process: Process) -> None:
        obituary = f"{process.name} (pid {process.pid}) {process.obituary()}"
        try:
            self._spawn(process)
        except StackError as error:
            if not self._is_up:
                raise
            say(f"{obituary}; cannot be restarted yet: {error}")
            self._restart_at[process] = time.monotonic() + LONGEST_PAUSE_SECONDS
            return
        del self._restart_at[process]
        if self._is_up:
            say(f"{obituary}; restarted (pid {process.pid})")

    def _spawn(self, process: Process) -> None:
        process.spawn()
        if process not in self.processes:
            self.processes.append(process)
        try:
            self._changed(self.processes)
        except OSError as error:
            if not self._is_up:
                raise StackError(f"The state of the stack cannot be written: {error.strerror}") from None
            say(f"The state of the stack cannot be written: {error.strerror}")


def _tell(problems: Mapping[Process, str]) -> str:
    """What is wrong, each thing once, with all whom it concerns; of a gateway, what no worker explains."""
    causes = {process: problem for process, problem in problems.items() if process.kind != "gateway"}
    concerned: dict[str, list[str]] = {}
    for process, problem in (causes or problems).items():
        concerned.setdefault(problem, []).append(process.name)
    return "; ".join(f"{', '.join(names)}: {problem}" for problem, names in concerned.items())
