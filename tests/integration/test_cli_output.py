"""The exit code of `slotkeeper` is right, whatever happens to its output."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.integration.canned import canned
from tests.integration.cli_calls import PAGE, event

ROOT = Path(__file__).parents[2]
ID = "0b5f2a53-6f0e-4d1c-9a53-0c9f1f3a2c11"
NINE = "2031-05-04T09:00:00.000Z"
APPOINTMENT = {
    "id": ID,
    "site": "default",
    "resources": ["dr-lee"],
    "slot": NINE,
    "patientName": "Ása Ørn 李 🐈",
    "status": "booked",
    "version": 1,
    "createdAt": NINE,
}
BOOKED = {"message": "Booking confirmed", "appointment": APPOINTMENT}
DAY = {"appointments": [{**APPOINTMENT, "id": f"{ID[:-4]}{number}"} for number in range(1000, 2000)]}
SHORT_DAY = {"appointments": DAY["appointments"][:20]}
SLOTKEEPER = (sys.executable, "-m", "shared.cli")
CALLS: list[tuple[tuple[str, ...], Any]] = [
    (("book", NINE, "Ada"), BOOKED),
    (("book", NINE, "Ada", "--json"), BOOKED),
    (("day", "2031-05-04"), DAY),
    (("day", "2031-05-04", "--json"), DAY),
    (("--version",), None),
    (("book", "--help"), None),
]


def of(calls: list[tuple[tuple[str, ...], Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("words", "answer"), calls, ids=[" ".join(words) for words, _ in calls])


def run(
    url: str, *words: str | bytes, stdout: Any = subprocess.PIPE, stderr: Any = subprocess.PIPE, **env: str
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command as its own process; its output is bytes."""
    return subprocess.run(
        [*SLOTKEEPER, *words],
        cwd=ROOT,
        env={**os.environ, "SLOTKEEPER_URL": url, "COLUMNS": "120", **env},
        stdout=stdout,
        stderr=stderr,
        check=False,
    )


@of(CALLS)
def test_full_disk_keeps_the_exit_code_0(words: tuple[str, ...], answer: Any) -> None:
    """With stdout full, the exit code is 0, and one line on stderr reports the lost output."""
    with canned((200, answer)) as (url, _), Path("/dev/full").open("w") as full:
        result = run(url, *words, stdout=full)
    assert result.stderr == b"The output could not be written: No space left on device\n"
    assert result.returncode == 0


@pytest.mark.parametrize(("status", "code"), [(409, 1), (400, 2), (503, 3), (504, 4)])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_refusal_that_cannot_be_written_keeps_its_code(
    status: int, code: int, options: tuple[str, ...]
) -> None:
    """With stdout and stderr full, the exit code alone gives the outcome."""
    with canned((status, {"error": "Because"})) as (url, _), Path("/dev/full").open("w") as full:
        assert run(url, "cancel", ID, *options, stdout=full, stderr=full).returncode == code


@of(CALLS)
def test_closed_pipe_is_no_failure(words: tuple[str, ...], answer: Any) -> None:
    """If the reader of the pipe has gone, the command ends with 0 and writes nothing to stderr."""
    reader, writer = os.pipe()
    os.close(reader)
    with canned((200, answer)) as (url, _):
        result = run(url, *words, stdout=writer)
    os.close(writer)
    assert (result.returncode, result.stderr) == (0, b"")


@of(CALLS)
def test_closed_stdout_is_no_failure(words: tuple[str, ...], answer: Any) -> None:
    """`slotkeeper book … >&-` books."""
    with canned((200, answer)) as (url, _):
        command = ["sh", "-c", '"$@" >&-', "sh", *SLOTKEEPER, *words]
        env = {**os.environ, "SLOTKEEPER_URL": url}
        result = subprocess.run(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, check=False)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize(
    "locale",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "cp437"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX"},
    ],
    ids=lambda locale: " ".join(locale.values()),
)
@pytest.mark.parametrize(
    ("words", "answer", "columns"),
    [
        (("book", NINE, "Ada"), BOOKED, "120"),
        (("day", "--json"), SHORT_DAY, "120"),
        (("day",), SHORT_DAY, "120"),
        (("day",), SHORT_DAY, "60"),  # a table is cut to the width
    ],
    ids=["book", "day --json", "day", "narrow day"],
)
def test_name_outside_the_encoding_is_no_failure(
    words: tuple[str, ...], answer: Any, columns: str, locale: dict[str, str]
) -> None:
    """Characters that the encoding lacks are escaped; JSON is always ASCII, and round-trips."""
    with canned((200, answer)) as (url, _):
        result = run(url, *words, **{"COLUMNS": columns, **locale})
    assert (result.returncode, result.stderr) == (0, b"")
    assert ID[:-4].encode() in result.stdout
    if "--json" in words:
        assert json.loads(result.stdout.decode("ascii")) == answer


def test_undecodable_argument_is_refused() -> None:
    """A name that cannot be decoded is refused, never sent as another name."""
    result = run("http://127.0.0.1:1", "book", NINE, b"\xff\xfe", "--json", PYTHONUTF8="1")
    assert (result.returncode, json.loads(result.stdout)["type"]) == (2, "UsageError")


@pytest.fixture
def silent() -> Iterator[tuple[str, Event]]:
    """The URL of a gateway that does not answer, and an event that its first request sets."""
    received, released = Event(), Event()

    def wait() -> None:
        received.set()
        released.wait(30)

    with canned(wait) as (url, _):
        yield url, received
        released.set()


@pytest.mark.parametrize(
    ("words", "code", "printed"),
    [
        (("book", NINE, "Ada"), 4, "repeat it with --key "),
        (("book", NINE, "Ada", "--key", "desk-1"), 4, "--key desk-1"),
        (("book", NINE, "Ada", "--json"), 4, "repeat it with --key "),
        (("hold", NINE, "Ada"), 4, "repeat it with --token "),
        (("cancel", ID), 4, "it may have been done"),
        (("day",), 130, ""),
    ],
)
def test_ctrl_c_prints_how_to_retry_a_change_in_flight(
    silent: tuple[str, Event], words: tuple[str, ...], code: int, printed: str
) -> None:
    """An interrupted change is unknown (4) and prints how to retry it; an interrupted read ends with 130."""
    url, received = silent
    env = {**os.environ, "SLOTKEEPER_URL": url}
    process = subprocess.Popen([*SLOTKEEPER, *words], cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)
    assert received.wait(30)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    assert printed in stderr
    assert "Traceback" not in stderr


def test_watch_ends_with_its_reader() -> None:
    """`slotkeeper watch | head -1` ends once head has gone."""
    held = {"resource": "default", "slot": NINE, "state": "held"}
    free, taken = (event("snapshot", {**PAGE, "taken": each}, 100) for each in ([], [held]))
    command = f"set -o pipefail; {sys.executable} -m shared.cli watch | head -1"
    with canned(*[(200, taken), (200, free)] * 50) as (url, received):
        env = {**os.environ, "SLOTKEEPER_URL": url}
        result = subprocess.run(
            ["/bin/bash", "-c", command], cwd=ROOT, env=env, capture_output=True, check=False
        )
    assert (result.returncode, result.stdout.count(b"\n")) == (0, 1)
    # The stand-in ends its streams, which a gateway does only when it stops.
    known = {b"The gateway has ended the stream; still trying", b"It answers again"}
    assert set(result.stderr.splitlines()) <= known
    assert len(received) < 100
