"""What others get by `pip install slotkeeper`: built, installed into an empty environment, and used."""

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import randrange
from zipfile import ZipFile

import pytest

import shared
from tests.stack import Stack

pytestmark = pytest.mark.timeout(600)  # packages may come over a slow line

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")

# A program of a stranger: it is run, and checked by mypy in its strict mode without any plugin.
PROGRAM = """\
import asyncio
import sys
from datetime import datetime

import slotkeeper
from slotkeeper import BookAppointment, BookingClient, SlotAlreadyBooked


async def main(nats_url: str, slot: str) -> None:
    command = BookAppointment(slot=datetime.fromisoformat(slot), patientName="Ada Lovelace")
    async with BookingClient(nats_url) as client:
        booked = await client.book(command)
        print(booked.status)
        try:
            await client.book(slot, "Ada Lovelace")
        except SlotAlreadyBooked as refused:
            print(refused.text)


print(*slotkeeper.__all__)
asyncio.run(main(*sys.argv[1:]))
"""


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; `cwd` is never this tree, whose modules would be found there."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tree: setuptools would take over what an earlier build left in build/."""
    tree = tmp_path_factory.mktemp("wheel") / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__"))
    run(*PIP, "wheel", "--no-deps", "--wheel-dir", tree.parent, tree, cwd=tree.parent)
    (wheel,) = tree.parent.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the wheel, what it depends on, and nothing else."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment)
    python = environment / "bin/python"
    constraints = ROOT / "deploy/constraints.txt"
    run(*PIP, "--python", python, "install", "--constraint", constraints, wheel, cwd=environment)
    return python


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def test_the_wheel_has_the_client_its_messages_and_the_command_alone(wheel: Path) -> None:
    """No package but `slotkeeper` lands on anybody's path, and in that are no services, stores or workers."""
    names = [Path(name) for name in ZipFile(wheel).namelist()]
    assert wheel.name.startswith(f"slotkeeper-{shared.__version__}-")
    files = [name for name in names if not name.parts[0].endswith(".dist-info")]
    assert {name.parts[0] for name in files} == {"slotkeeper"}
    parts = {"__init__.py", "cli", "client", "contract", "process", "py.typed"}
    assert {name.parts[1] for name in files} == parts
    assert {name.name for name in files if "process" in name.parts} == {
        "__init__.py",
        "nats_headers.py",
        "nats_options.py",
        "nats_wire.py",
    }


def test_it_brings_no_driver_and_no_web_server(python: Path, tmp_path: Path) -> None:
    """Beside the client an environment gets nats-py, pydantic and structlog, and what pydantic is made of."""
    listed = json.loads(run(*PIP, "--python", python, "list", "--format", "json", cwd=tmp_path))
    pydantic = {"annotated-types", "pydantic", "pydantic-core", "typing-extensions", "typing-inspection"}
    names = {package["name"].lower().replace("_", "-") for package in listed}
    assert names == {"nats-py", "slotkeeper", "structlog", *pydantic}


async def test_a_stranger_books_with_it(stack: Stack, python: Path, program: Path) -> None:
    """Whoever has installed the client alone books over NATS, and hears of a refusal as an exception."""
    slot = datetime(2031, 1, 1, tzinfo=UTC) + timedelta(milliseconds=randrange(10**12))
    printed = run(python, "-I", program, stack.env["NATS_URL"], slot.isoformat(), cwd=program.parent)
    assert printed.splitlines() == [" ".join(shared.__all__), "booked", "Slot already booked"]


def test_the_command_says_which_extra_it_needs(python: Path, tmp_path: Path) -> None:
    """Beside the client alone, `slotkeeper` is there, and says in one line how to get what it needs."""
    command = subprocess.run(
        [python.parent / "slotkeeper"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    needed = "The command needs more than the client does: pip install 'slotkeeper[cli]'\n"
    assert (command.returncode, command.stdout, command.stderr) == (2, "", needed)


def test_its_types_are_seen_by_others(python: Path, program: Path) -> None:
    """A program that uses the client passes mypy in its strict mode."""
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", python)
    run(*mypy, program, cwd=program.parent)
