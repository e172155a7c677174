"""Loads over HTTP, by wrk."""

import json
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from deploy.local.errors import StackError
from tests.bench.load_result import LoadResult
from tests.bench.slots import CELL, first_slot
from tests.bench.tools import find_program

SCRIPT = Path(__file__).with_name("wrk.lua")
TIMEOUT_SECONDS = 10
BOOK, HOLD = "/api/book-appointment", "/api/hold-appointment"
APPOINTMENTS, SLOTS = "/api/appointments", "/api/slots"


@dataclass(frozen=True)
class Pattern:
    """The slots of POSTs: groups that begin `step` apart, and the fields of each body.

    `group` requests in turn compete: each is for a slot `offset` after the one before. `more` is the JSON of
    further fields, with a comma before it.
    """

    step: timedelta = CELL
    group: int = 1
    offset: timedelta = timedelta()
    more: str = ""


ONE_CELL = Pattern()
"""Every request has a slot of its own, of one cell."""


class Wrk:
    """A running load: every connection sends its next request after an answer."""

    def __init__(
        self,
        url: str,
        path: str,
        connections: int,
        seconds: int,
        *,
        pattern: Pattern = ONE_CELL,
        refused: bool = False,
        method: str = "POST",
        lines: Iterable[str] = (),
        key: str = "",
    ) -> None:
        """Start the load; with `refused` a 409 counts as done.

        A request other than a POST appends the next of `lines` to the path; only a GET starts over after the
        last line. `key` is an API key.
        """
        options = {"-t": 1, "-c": connections, "-d": f"{seconds}s", "--timeout": f"{TIMEOUT_SECONDS}s"}
        words = [str(word) for option in options.items() for word in option]
        seconds_of = (first_slot().timestamp(), pattern.step.total_seconds(), pattern.offset.total_seconds())
        first, step, offset = (str(round(each * 1000)) for each in seconds_of)
        self._also_done = frozenset({409} if refused else ())
        self._file = tempfile.NamedTemporaryFile("w", prefix="bench-lines-")  # noqa: SIM115
        self._file.write("\n".join(lines))
        self._file.flush()
        self._process = subprocess.Popen(
            [
                find_program("wrk"),
                *words,
                "-s",
                str(SCRIPT),
                url,
                "--",
                method,
                path,
                first,
                step,
                str(pattern.group),
                offset,
                pattern.more or "-",
                self._file.name,
                *([key] if key else []),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> "Wrk":
        return self

    def __exit__(self, *_: object) -> None:
        with self._file, self._process:
            self._process.kill()

    def result(self) -> LoadResult:
        """Wait for the end of the load.

        Raises:
            StackError: wrk failed; the message has its output.
        """
        output, _ = self._process.communicate()
        _, found, line = output.partition("RESULT ")
        if not found or self._process.returncode:
            raise StackError(f"wrk failed: {output.strip() or self._process.returncode}")
        figures = json.loads(line.splitlines()[0])
        return LoadResult(
            seconds=figures["seconds"],
            statuses={int(status): number for status, number in figures["statuses"].items()},
            p50=figures["p50"],
            p99=figures["p99"],
            broken=figures["broken"],
            also_done=self._also_done,
        )


def http_load(
    url: str,
    path: str,
    connections: int,
    seconds: int,
    *,
    pattern: Pattern = ONE_CELL,
    refused: bool = False,
    method: str = "POST",
    lines: Iterable[str] = (),
    key: str = "",
) -> LoadResult:
    """Run a `Wrk` load to its end."""
    with Wrk(
        url,
        path,
        connections,
        seconds,
        pattern=pattern,
        refused=refused,
        method=method,
        lines=lines,
        key=key,
    ) as wrk:
        return wrk.result()


def one_beside(url: str, connections: int, seconds: int) -> LoadResult:
    """Return the result of one booking caller while `connections` other callers book."""
    with ExitStack() as running:
        running.enter_context(Wrk(url, BOOK, connections, seconds))
        return running.enter_context(Wrk(url, BOOK, 1, seconds)).result()
