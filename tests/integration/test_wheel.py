"""`pip install slotkeeper` into an empty environment gives a client that books."""

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

pytestmark = pytest.mark.timeout(600)  # packages may be downloaded over a slow connection

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")

# A program of a user: the tests run it, and check it with mypy in strict mode without a plugin.
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
    """Return the output of a command; `cwd` is never this tree, so that its modules are not importable."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the tree: setuptools would include files of earlier builds in build/."""
    tree = tmp_path_factory.mktemp("wheel") / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__"))
    run(*PIP, "wheel", "--no-deps", "--wheel-dir", tree.parent, tree, cwd=tree.parent)
    (wheel,) = tree.parent.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment that has the wheel and its dependencies alone."""
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


def test_the_wheel_has_the_client_the_contract_and_the_command_alone(wheel: Path) -> None:
    """The wheel installs one package, `slotkeeper`, without services, stores and workers."""
    names = [Path(name) for name in ZipFile(wheel).namelist()]
    assert wheel.name.startswith(f"slotkeeper-{shared.__version__}-")
    files = [name for name in names if not name.parts[0].endswith(".dist-info")]
    assert {name.parts[0] for name in files} == {"slotkeeper"}
    parts = {"__init__.py", "cli", "client", "contract", "process", "py.typed"}
    assert {name.parts[1] for name in files} == parts
    assert {name.name for name in files if "process" in name.parts} == {
        "__init__.py",
        "api_keys.py",
        "nats_access.py",
        "nats_headers.py",
        "nats_options.py",
        "nats_wire.py",
        "tls.py",
        "watched_file.py",
    }


def test_the_wheel_depends_on_no_driver_and_no_web_server(python: Path, tmp_path: Path) -> None:
    """The wheel installs only nats-py, pydantic, structlog and the dependencies of pydantic."""
    listed = json.loads(run(*PIP, "--python", python, "list", "--format", "json", cwd=tmp_path))
    pydantic = {"annotated-types", "pydantic", "pydantic-core", "typing-extensions", "typing-inspection"}
    names = {package["name"].lower().replace("_", "-") for package in listed}
    assert names == {"nats-py", "slotkeeper", "structlog", *pydantic}


async def test_a_program_with_the_installed_client_books(stack: Stack, python: Path, program: Path) -> None:
    """A program with only the installed client books over NATS, and gets a refusal as an exception."""
    slot = datetime(2031, 1, 1, tzinfo=UTC) + timedelta(milliseconds=randrange(10**12))
    printed = run(python, "-I", program, stack.env["NATS_URL"], slot.isoformat(), cwd=program.parent)
    assert printed.splitlines() == [" ".join(shared.__all__), "booked", "Slot already booked"]


def test_the_command_names_the_extra_that_it_needs(python: Path, tmp_path: Path) -> None:
    """Without the extra `cli`, the command `slotkeeper` exits with 2 and one line that names the extra."""
    command = subprocess.run(
        [python.parent / "slotkeeper"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    needed = "The command needs more than the client does: pip install 'slotkeeper[cli]'\n"
    assert (command.returncode, command.stdout, command.stderr) == (2, "", needed)


def test_a_program_with_the_installed_client_passes_mypy(python: Path, program: Path) -> None:
    """A program that uses the installed client passes mypy in strict mode."""
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", python)
    run(*mypy, program, cwd=program.parent)
