"""Starts processes, restarts what dies, stops everything in order.

honcho ends everything when one process ends, and neither restarts nor orders; that is why this exists.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Sequence

from deploy.local.child import POLL_SECONDS, Child, end
from deploy.local.console import say
from deploy.local.errors import StackError

READY_SECONDS = 60.0
SLOW_SECONDS = 10.0
STEADY_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 5.0
STARTS = 2
# In this order; the seconds that each kind may take add up to less than the ten that a stop may take.
STOP_ORDER = (
    (("gateway",), 3.0),
    (("booking_worker", "hold_worker"), 3.0),
    (("nats",), 0.5),
    (("redis",), 1.0),
    (("mongod",), 2.0),
)


class Stopped(Exception):
    """A signal asked for the end."""


class Supervisor:
    """The processes of one stack. `changed` is called whenever one was started."""

    def __init__(self, changed: Callable[[Sequence[Child]], None], *, verbose: bool = False) -> None:
        self.children: list[Child] = []
        self._changed = changed
        self._verbose = verbose
        self._signals = 0
        self._is_up = False
        self._deaths: dict[Child, int] = {}
        self._restart_at: dict[Child, float] = {}

    def on_signal(self, *_: object) -> None:
        """Handle a signal: the first asks for an orderly stop, the second for a quick one."""
        self._signals += 1

    def start(self, children: Sequence[Child]) -> None:
        """Start processes and wait until all of them are ready.

        Raises:
            StackError: one does not come up; says why.
            Stopped: a signal came first.
        """
        for child in children:
            self._spawn(child)
        ends, slow = time.monotonic() + READY_SECONDS, time.monotonic() + SLOW_SECONDS
        while problems := self._problems(children):
            told = "; ".join(f"{child.name}: {problem}" for child, problem in problems.items())
            if time.monotonic() > ends:
                raise StackError(
                    f"Not ready after {READY_SECONDS:.0f} s: {told} (logs: {children[0].log.parent})"
                )
            if time.monotonic() > slow:
                slow = ends
                say(f"Still waiting: {told}")
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
        for kinds, seconds in STOP_ORDER:
            group = [child for child in self.children if child.kind in kinds]
            end(group, seconds, hurry=lambda: self._signals > 1)
            for child in group if self._verbose else ():
                self._show(child)

    def _problems(self, children: Sequence[Child]) -> dict[Child, str]:
        problems = {}
        for child in children:
            self._step()
            if problem := child.problem() if child.running else "is not running":
                problems[child] = problem
        return problems

    def _step(self) -> None:
        if self._signals:
            raise Stopped
        for child in self.children:
            if self._verbose:
                self._show(child)
            if child.running:
                continue
            if child not in self._restart_at:
                self._mourn(child)
            elif time.monotonic() >= self._restart_at[child]:
                self._revive(child)

    def _show(self, child: Child) -> None:
        with contextlib.suppress(OSError):
            sys.stdout.write(child.fresh_output())
            sys.stdout.flush()

    def _mourn(self, child: Child) -> None:
        if time.monotonic() - child.started_at > STEADY_SECONDS:
            self._deaths.pop(child, None)
        deaths = self._deaths[child] = self._deaths.get(child, 0) + 1
        if not self._is_up and deaths >= STARTS:
            raise StackError(f"{child.name} does not start: {child.last_words()} (log: {child.log})")
        pause = 0.0 if deaths == 1 else min(0.25 * 2**deaths, LONGEST_PAUSE_SECONDS)
        self._restart_at[child] = time.monotonic() + pause

    def _revive(self, child: Child) -> None:
        obituary = f"{child.name} (pid {child.pid}) {child.obituary()}"
        try:
            self._spawn(child)
        except StackError as error:
            if not self._is_up:
                raise
            say(f"{obituary}; cannot be restarted yet: {error}")
            self._restart_at[child] = time.monotonic() + LONGEST_PAUSE_SECONDS
            return
        del self._restart_at[child]
        if self._is_up:
            say(f"{obituary}; restarted (pid {child.pid})")

    def _spawn(self, child: Child) -> None:
        child.spawn()
        if child not in self.children:
            self.children.append(child)
        self._changed(self.children)
