"""Load over HTTP, by wrk."""

import json
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from deploy.local.errors import StackError
from tests.bench.load_result import Heard
from tests.bench.slots import CELL, first_slot
from tests.bench.tools import find

SCRIPT = Path(__file__).with_name("wrk.lua")
TIMEOUT_SECONDS = 10
BOOK, HOLD = "/api/book-appointment", "/api/hold-appointment"
APPOINTMENTS, SLOTS = "/api/appointments", "/api/slots"


class Wrk:
    """A load that runs: `connections` callers, each of whom asks again once it is answered."""

    def __init__(
        self,
        url: str,
        path: str,
        connections: int,
        seconds: int,
        *,
        share: int = 1,
        refused: bool = False,
        method: str = "POST",
        lines: Iterable[str] = (),
    ) -> None:
        """`share` requests in turn are for the same slot; with `refused`, 409 is an answer as good as any.

        Unless they POST, each request takes the next of `lines`, which follows the path; only a GET begins
        anew after the last one.
        """
        options = {"-t": 1, "-c": connections, "-d": f"{seconds}s", "--timeout": f"{TIMEOUT_SECONDS}s"}
        words = [str(word) for option in options.items() for word in option]
        first, cell = (str(round(each * 1000)) for each in (first_slot().timestamp(), CELL.total_seconds()))
        self._as_good = frozenset({409} if refused else ())
        self._file = tempfile.NamedTemporaryFile("w", prefix="bench-lines-")  # noqa: SIM115
        self._file.write("\n".join(lines))
        self._file.flush()
        self._process = subprocess.Popen(
            [
                find("wrk"),
                *words,
                "-s",
                str(SCRIPT),
                url,
                "--",
                method,
                path,
                first,
                cell,
                str(share),
                self._file.name,
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

    def heard(self) -> Heard:
        """Wait for its end.

        Raises:
            StackError: wrk failed, with what it said.
        """
        output, _ = self._process.communicate()
        _, found, result = output.partition("RESULT ")
        if not found or self._process.returncode:
            raise StackError(f"wrk failed: {output.strip() or self._process.returncode}")
        told = json.loads(result.splitlines()[0])
        return Heard(
            seconds=told["seconds"],
            statuses={int(status): number for status, number in told["statuses"].items()},
            p50=told["p50"],
            p99=told["p99"],
            broken=told["broken"],
            as_good=self._as_good,
        )


def http_load(
    url: str,
    path: str,
    connections: int,
    seconds: int,
    *,
    share: int = 1,
    refused: bool = False,
    method: str = "POST",
    lines: Iterable[str] = (),
) -> Heard:
    """Load `url` as `Wrk` says, and wait for the end."""
    with Wrk(
        url, path, connections, seconds, share=share, refused=refused, method=method, lines=lines
    ) as wrk:
        return wrk.heard()


def one_beside(url: str, connections: int, seconds: int) -> Heard:
    """What one caller hears who books beside so many others."""
    with ExitStack() as running:
        running.enter_context(Wrk(url, BOOK, connections, seconds))
        return running.enter_context(Wrk(url, BOOK, 1, seconds)).heard()
