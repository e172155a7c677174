"""The examples, run as readers run them: with `slotkeeper` installed, against running services."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import randrange

import httpx
import pytest

from booking_worker.privacy.erasure import erase
from deploy.local.ports import free_port
from deploy.local.process import Process, end
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.personal_data import PersonalData, with_ids
from tests.integration.breakable import until
from tests.integration.event_log import event_log
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import STOP_SECONDS, Stack, wait_until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "shared" / "examples"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH, where `slotkeeper` is this tree's package."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "slotkeeper").symlink_to(ROOT / "shared")
    return folder


@pytest.fixture
def slot() -> datetime:
    """A free slot on a day of its own."""
    return datetime(2031, 1, 1, 12, tzinfo=UTC) + timedelta(days=randrange(10**6))


def _run(env: dict[str, str], cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


class Example:
    """The examples, with `slotkeeper` and NATS in their environment."""

    def __init__(self, installed: Path, nats_url: str) -> None:
        self.nats_url = nats_url
        self.env = {**os.environ, "PYTHONPATH": str(installed), "NATS_URL": nats_url, "TZ": "UTC"}
        self.cwd = installed

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run an example."""
        return _run(self.env, self.cwd, str(EXAMPLES / f"{name}.py"), *words)

    def output_of(self, name: str, *words: str) -> list[str]:
        """Run an example that succeeds; return its output lines."""
        result = self.run(name, *words)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout.splitlines()


@pytest.fixture
def example(installed: Path, stack: Stack) -> Example:
    return Example(installed, stack.env["NATS_URL"])


def test_script_follows_a_booking_through_its_life(example: Example, slot: datetime) -> None:
    """The script holds, books, gets a refusal, moves, cancels, and prints every change."""
    lines = example.output_of("script", example.nats_url, slot.isoformat())
    assert lines[2:] == [
        "Grace: Slot already booked",
        f"Moved to {slot + timedelta(days=1):%Y-%m-%d}",
        "1. booked",
        "2. moved",
        "3. cancelled",
    ]


def test_receptionist_books_moves_and_cancels(example: Example, slot: datetime) -> None:
    """A day lists a booking until it is cancelled; a refusal is one line on stderr."""
    nats = ("--nats", example.nats_url)
    (booked,) = example.output_of("receptionist", *nats, "book", slot.isoformat(), "Ada Lovelace")
    id = booked.split()[-2]
    refused = example.run("receptionist", *nats, "book", slot.isoformat(), "Grace Hopper")
    assert (refused.returncode, refused.stderr) == (1, "Slot already booked\n")
    day = (*nats, "day", f"{slot:%Y-%m-%d}")
    assert example.output_of("receptionist", *day) == [booked]
    later = slot + timedelta(hours=1)
    (moved,) = example.output_of("receptionist", *nats, "move", id, later.isoformat())
    assert moved == f"{later:%Y-%m-%d %H:%M}  Ada Lovelace  {id}  booked"
    assert example.output_of("receptionist", *nats, "cancel", id)[0].endswith("cancelled")
    assert example.output_of("receptionist", *day) == []


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


def test_web_application_books_by_a_dependency(web: Web, slot: datetime) -> None:
    """Its routes return the appointment, and a refusal with the service's status and headers."""
    wish = {"slot": slot.isoformat().replace("+00:00", "Z"), "patient": "Ada Lovelace"}
    with httpx.Client(base_url=web.url, timeout=20) as client:
        booked = client.post("/visits", params=wish, headers={"Idempotency-Key": f"web-{slot}"})
        refused = client.post("/visits", params=wish, headers={"Idempotency-Key": f"other-{slot}"})
        cancelled = client.delete(f"/visits/{booked.json()['id']}")
    assert (booked.status_code, booked.json()["status"]) == (201, "booked")
    assert (refused.status_code, refused.json()) == (409, {"error": "Slot already booked"})
    assert refused.headers["Error-Type"] == "SlotAlreadyBooked"
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")


class EventExample(Process):
    """An example that follows events until it is stopped."""

    kind = "example"

    def __init__(self, installed: Path, nats_url: str, log: Path, *words: str) -> None:
        super().__init__("example", log)
        self._words = words
        self._env = {**os.environ, "PYTHONPATH": f"{installed}:{EXAMPLES}", "NATS_URL": nats_url, "TZ": "UTC"}

    def command(self) -> list[str]:
        return [sys.executable, *self._words]

    def environment(self) -> dict[str, str]:
        return self._env

    def problem(self) -> str | None:
        return None


async def test_event_examples_follow_the_bookings_of_a_site(
    servers: Servers, installed: Path, tmp_path: Path
) -> None:
    """One example copies a calendar from events, and a FastStream service is called for every booking."""
    async with event_log(servers) as log:
        log.start_relay()
        booked = await log.life.booked(fresh())
        await log.until([f"{booked['id']}:1"])
        url, site = log.stack.env["NATS_URL"], booked["site"]
        words = [str(EXAMPLES / "calendar_copy.py"), "--nats", url, "--site", site]
        calendar = EventExample(installed, url, tmp_path / "calendar.log", *words)
        service = ["-m", "faststream", "run", "billing:app"]
        billing = EventExample(installed, url, tmp_path / "billing.log", *service)
        calendar.spawn()
        billing.spawn()
        try:
            await log.life.move(booked["id"], slot="2031-05-04T11:00:00Z")
            await log.life.cancel(booked["id"])
            database = mongodb.connect(log.stack.env["MONGO_URI"])
            await erase(PersonalData(database), with_ids([booked["id"]]))
            mongodb.close(database)
            await until(lambda: "erased" in calendar.log_file.read_text(), "the calendar is empty")
            await until(lambda: booked["id"] in billing.log_file.read_text(), "the booking is billed")
        finally:
            end([calendar, billing], STOP_SECONDS)
    lines = calendar.log_file.read_text().splitlines()
    assert [line.split()[0] for line in lines if "booked)" in line] == [
        "booked",
        "moved",
        "cancelled",
        "erased",
    ]
    assert lines[-1].endswith("(0 booked)")
    bills = [line for line in billing.log_file.read_text().splitlines() if f"billed {booked['id']}:" in line]
    assert len(bills) == 1


def test_examples_pass_mypy_in_strict_mode(installed: Path) -> None:
    """The examples pass mypy in its strict mode."""
    examples = sorted(str(path) for path in EXAMPLES.glob("[!_]*.py"))
    env = {**os.environ, "MYPYPATH": str(installed)}
    result = _run(env, installed, "-m", "mypy", "--strict", *examples)
    assert result.returncode == 0, result.stdout + result.stderr
