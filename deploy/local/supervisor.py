"""Start processes, restart those that die, and stop all of them in order.

honcho ends everything when one process ends, and has neither restarts nor an order, so this exists.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from deploy.local.console import print_line
from deploy.local.errors import StackError
from deploy.local.process import POLL_SECONDS, Process, end

READY_SECONDS = 60.0
SLOW_SECONDS = 10.0
STEADY_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 5.0
STARTS = 2


def stop_order(service_seconds: float) -> tuple[tuple[tuple[str, ...], float], ...]:
    """Return the kinds of processes in stop order, with the seconds after which each is killed.

    Services drain for up to `service_seconds`. Servers stop last, when they have no clients any more.
    """
    return (
        (("gateway",), service_seconds),
        (("booking_worker", "hold_worker"), service_seconds),
        (("booking_worker.events", "gateway.webhooks", "gateway.notify"), service_seconds),
        (("nats",), 0.5),
        (("redis",), 1.0),
        (("mongod",), 2.0),
    )


class Stopped(Exception):
    """A signal asked the stack to stop."""


class Supervisor:
    """The processes of one stack. `changed` is called after every start of a process.

    A service that was asked to stop is killed after `service_seconds`.
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
        """Handle a signal: the first one stops the stack gracefully, the second one at once."""
        self._signals += 1

    def start(self, processes: Sequence[Process]) -> None:
        """Start processes and wait until all of them are ready.

        Raises:
            StackError: a process does not become ready. The message has the reason.
            Stopped: a signal arrived first.
        """
        for process in processes:
            self._spawn(process)
        ends, slow = time.monotonic() + READY_SECONDS, time.monotonic() + SLOW_SECONDS
        while problems := self._problems(processes):
            if time.monotonic() > ends:
                raise StackError(
                    f"Not ready after {READY_SECONDS:.0f} s: {_summarise(problems)} "
                    f"(logs: {processes[0].log_file.parent})"
                )
            if time.monotonic() > slow:
                slow = ends
                print_line(
                    f"Still waiting, and giving up after {READY_SECONDS:.0f} s: {_summarise(problems)}"
                )
            time.sleep(POLL_SECONDS)

    def watch(self) -> None:
        """Restart processes that die, until a signal arrives.

        Raises:
            Stopped: a signal arrived.
        """
        self._is_up = True
        while True:
            self._step()
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop everything: first the gateways, then the workers, which drain, then the servers."""
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
                self._schedule_restart(process)
            elif time.monotonic() >= self._restart_at[process]:
                self._restart(process)

    def _show(self, process: Process) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(process.new_output())
            sys.stdout.flush()

    def _schedule_restart(self, process: Process) -> None:
        if time.monotonic() - process.started_at > STEADY_SECONDS:
            self._deaths.pop(process, None)
        deaths = self._deaths[process] = self._deaths.get(process, 0) + 1
        if not self._is_up and deaths >= STARTS:
            raise StackError(
                f"{process.name} does not start: {process.last_log_line()} (log: {process.log_file})"
            )
        pause = 0.0 if deaths == 1 else min(0.25 * 2**deaths, LONGEST_PAUSE_SECONDS)
        self._restart_at[process] = time.monotonic() + pause

    def _restart(self, process: Process) -> None:
        ended = f"{process.name} (pid {process.pid}) {process.exit_summary()}"
        try:
            self._spawn(process)
        except StackError as error:
            if not self._is_up:
                raise
            print_line(f"{ended}; cannot be restarted yet: {error}")
            self._restart_at[process] = time.monotonic() + LONGEST_PAUSE_SECONDS
            return
        del self._restart_at[process]
        if self._is_up:
            print_line(f"{ended}; restarted (pid {process.pid})")

    def _spawn(self, process: Process) -> None:
        process.spawn()
        if process not in self.processes:
            self.processes.append(process)
        try:
            self._changed(self.processes)
        except OSError as error:
            if not self._is_up:
                raise StackError(f"The state of the stack cannot be written: {error.strerror}") from None
            print_line(f"The state of the stack cannot be written: {error.strerror}")


def _summarise(problems: Mapping[Process, str]) -> str:
    """List each problem with the affected processes; gateways only if no other process has one."""
    causes = {process: problem for process, problem in problems.items() if process.kind != "gateway"}
    affected: dict[str, list[str]] = {}
    for process, problem in (causes or problems).items():
        affected.setdefault(problem, []).append(process.name)
    return "; ".join(f"{', '.join(names)}: {problem}" for problem, names in affected.items())
