"""The examples, run as their readers would: with `slotkeeper` installed, against services that run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import randrange

import httpx
import pytest

from deploy.local.ports import free_port
from deploy.local.process import Process, end
from tests.stack import STOP_SECONDS, Stack, wait_until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "shared" / "examples"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where `slotkeeper` is what this tree has, for a path of modules."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "slotkeeper").symlink_to(ROOT / "shared")
    return folder


@pytest.fixture
def slot() -> datetime:
    """One that nobody has asked for, on a day of its own."""
    return datetime(2031, 1, 1, 12, tzinfo=UTC) + timedelta(days=randrange(10**6))


def _run(env: dict[str, str], cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


class Example:
    """An example, and where it finds `slotkeeper` and NATS."""

    def __init__(self, installed: Path, nats_url: str) -> None:
        self.nats_url = nats_url
        self.env = {**os.environ, "PYTHONPATH": str(installed), "NATS_URL": nats_url, "TZ": "UTC"}
        self.cwd = installed

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """What becomes of it."""
        return _run(self.env, self.cwd, str(EXAMPLES / f"{name}.py"), *words)

    def says(self, name: str, *words: str) -> list[str]:
        """The lines that it prints."""
        result = self.run(name, *words)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout.splitlines()


@pytest.fixture
def example(installed: Path, stack: Stack) -> Example:
    return Example(installed, stack.env["NATS_URL"])


def test_the_script_follows_a_booking_through_its_life(example: Example, slot: datetime) -> None:
    """It holds, books, meets a refusal, moves, cancels, and prints each change."""
    lines = example.says("script", example.nats_url, slot.isoformat())
    assert lines[2:] == [
        "Grace: Slot already booked",
        f"Moved to {slot + timedelta(days=1):%Y-%m-%d}",
        "1. booked",
        "2. moved",
        "3. cancelled",
    ]


def test_the_receptionist_books_moves_and_cancels(example: Example, slot: datetime) -> None:
    """A day shows what was booked, and shows it no more once it is cancelled; a refusal is one line."""
    nats = ("--nats", example.nats_url)
    (booked,) = example.says("receptionist", *nats, "book", slot.isoformat(), "Ada Lovelace")
    id = booked.split()[-2]
    refused = example.run("receptionist", *nats, "book", slot.isoformat(), "Grace Hopper")
    assert (refused.returncode, refused.stderr) == (1, "Slot already booked\n")
    day = (*nats, "day", f"{slot:%Y-%m-%d}")
    assert example.says("receptionist", *day) == [booked]
    later = slot + timedelta(hours=1)
    (moved,) = example.says("receptionist", *nats, "move", id, later.isoformat())
    assert moved == f"{later:%Y-%m-%d %H:%M}  Ada Lovelace  {id}  booked"
    assert example.says("receptionist", *nats, "cancel", id)[0].endswith("cancelled")
    assert example.says("receptionist", *day) == []


class Web(Process):
    """The FastAPI example, served by uvicorn."""

    def __init__(self, example: Example, log_file: Path) -> None:
        super().__init__("web", log_file)
        self._example = example
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "uvicorn",
            "--app-dir",
            str(EXAMPLES),
            "--port",
            str(self._port),
            "web:app",
        ]

    def environment(self) -> dict[str, str]:
        return self._example.env

    def problem(self) -> str | None:
        return None


@pytest.fixture
def web(example: Example, tmp_path: Path) -> Iterator[Web]:
    web = Web(example, tmp_path / "web.log")
    web.spawn()
    try:
        wait_until(lambda: httpx.get(f"{web.url}/docs").status_code == 200, "the example serves")
        yield web
    finally:
        end([web], STOP_SECONDS)


def test_a_web_application_books_by_a_dependency(web: Web, slot: datetime) -> None:
    """Its routes answer the appointment, and a refusal with the service's own status and headers."""
    wish = {"slot": slot.isoformat().replace("+00:00", "Z"), "patient": "Ada Lovelace"}
    with httpx.Client(base_url=web.url, timeout=20) as client:
        booked = client.post("/visits", params=wish, headers={"Idempotency-Key": f"web-{slot}"})
        refused = client.post("/visits", params=wish, headers={"Idempotency-Key": f"other-{slot}"})
        cancelled = client.delete(f"/visits/{booked.json()['id']}")
    assert (booked.status_code, booked.json()["status"]) == (201, "booked")
    assert (refused.status_code, refused.json()) == (409, {"error": "Slot already booked"})
    assert refused.headers["Error-Type"] == "SlotAlreadyBooked"
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")


def test_their_types_are_right(installed: Path) -> None:
    """Each example passes mypy in its strict mode."""
    examples = sorted(str(path) for path in EXAMPLES.glob("[!_]*.py"))
    env = {**os.environ, "MYPYPATH": str(installed)}
    result = _run(env, installed, "-m", "mypy", "--strict", *examples)
    assert result.returncode == 0, result.stdout + result.stderr
