"""The layout: which module may import which. Arrows go down only."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Not `ast`: on Python 3.11.7 it fails if a finalizer's exception is formatted at the same time.
IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*[\w.]*)[ \t]+import\b|import[ \t]+(\w[\w., \t]*))", re.MULTILINE
)

OURS = {"gateway", "booking_worker", "hold_worker", "shared", "deploy", "tests", "slotkeeper"}

# A folder, and our packages that it may import besides itself.
WORKER_SERVICE = ("shared.worker", "shared.stores", "shared.domain", "shared.contract", "shared.process")
ARROWS: dict[str, tuple[str, ...]] = {
    "gateway": ("shared.client", "shared.contract", "shared.process", "shared.worker.run"),
    "gateway.access": ("shared.contract", "shared.process"),
    "gateway.api": ("gateway.access", "gateway.http", "gateway.docs", "shared.client", "shared.contract"),
    "gateway.http": ("gateway.access", "gateway.docs", "shared.client", "shared.contract", "shared.process"),
    "gateway.docs": ("shared.contract",),
    "booking_worker": WORKER_SERVICE,
    "booking_worker.bookings": WORKER_SERVICE,
    "booking_worker.reads": WORKER_SERVICE,
    "booking_worker.regrid": WORKER_SERVICE,
    "booking_worker.privacy": WORKER_SERVICE,
    "hold_worker": WORKER_SERVICE,
    "shared.worker": ("shared.stores", "shared.domain", "shared.contract", "shared.process"),
    "shared.stores": ("shared.domain", "shared.contract", "shared.process"),
    "shared.domain": ("shared.contract",),
    "shared.client": (
        "shared.contract",
        "shared.process.nats_access",
        "shared.process.nats_headers",
        "shared.process.nats_options",
        "shared.process.nats_wire",
    ),
    "shared.cli": (
        "shared.contract",
        "shared.client",
        "shared.process.api_keys",
        "shared.process.tls",
        "shared.process.watched_file",
    ),
    "shared.examples": ("slotkeeper",),
    "shared.contract": (),
    "shared.process": ("shared.contract",),
    "shared.process.api_keys": ("shared.contract", "shared.process.watched_file"),
    "shared.process.nats_headers": (),
    "shared.process.nats_access": (),
    "shared.process.nats_options": ("shared.process.nats_access",),
    "shared.process.nats_wire": ("shared.process.nats_headers",),
    "shared.process.tls": (),
    "deploy": ("shared.client", "shared.contract", "shared.process"),
}

# A library that does I/O, and the only modules, tests included, that may import it.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "motor": ("shared.stores.mongo.connection", "tests.bench.monoliths"),
    "pymongo": ("shared.stores.mongo", "deploy", "tests"),
    "redis": ("shared.stores.redis", "tests"),
    "nats": (
        "shared.client",
        "shared.worker",
        "booking_worker.events",
        "gateway.notify",
        "gateway.sms",
        "gateway.webhooks",
        "shared.process.nats_options",
        "shared.process.nats_wire",
        "tests",
    ),
    "faststream": ("shared.worker", "shared.examples", "booking_worker", "hold_worker", "tests"),
    "fastapi": ("gateway", "shared.examples", "tests.bench.monoliths", "tests.unit"),
    "granian": ("gateway.http.server",),
    "httpx": (
        "shared.cli",
        "gateway.access.jwks",
        "gateway.notify.twilio",
        "gateway.webhooks.delivery",
        "tests",
    ),
    "aiosmtplib": ("gateway.notify.mail",),
    "icalendar": ("gateway.calendars", "gateway.notify", "tests"),
    "phonenumbers": ("gateway.notify", "gateway.sms", "tests"),
    "twilio": ("gateway.sms", "tests"),
    "jwt": ("gateway.access", "tests"),
    "typer": ("shared.cli", "tests"),
    "holidays": ("shared.domain.schedule", "tests"),
}

# The libraries that the pure folders may import, and the standard modules that they may not.
PURE = ("shared.contract", "shared.domain")
PURE_LIBRARIES = {"pydantic", "pydantic_core", "holidays"}
IMPURE = {
    "asyncio",
    "http",
    "io",
    "logging",
    "os",
    "pathlib",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "urllib",
}


def imports(module: str, source: str) -> Iterator[str]:
    """Yield the full names of the modules that `source` imports."""
    for match in IMPORT.finditer(source):
        if match[2]:
            yield from (name.split()[0] for name in match[2].split(",") if name.strip())
            continue
        name = match[1].lstrip(".")
        dots = len(match[1]) - len(name)
        yield ".".join([*module.split(".")[:-dots], *filter(None, [name])]) if dots else name


def within(module: str, folders: tuple[str, ...]) -> bool:
    return any(module == folder or module.startswith(f"{folder}.") for folder in folders)


def violations(module: str, source: str) -> list[str]:
    """Return the imports of `source`, the text of `module`, that break the tables above."""
    return [name for name in imports(module, source) if not may_import(module, name)]


def may_import(module: str, name: str) -> bool:
    library = name.partition(".")[0]
    if library in LIBRARIES and not within(module, LIBRARIES[library]):
        return False
    if library in OURS:
        rooms = [room for room in ARROWS if within(module, (room,))]
        return all(within(name, (room, *ARROWS[room])) for room in rooms)
    if within(module, PURE):
        return library in PURE_LIBRARIES | set(sys.stdlib_module_names) - IMPURE
    return True


def modules() -> dict[str, Path]:
    """Return every module of the tree: its dotted name, `__init__` included, and its file."""
    paths = (path for package in OURS for path in (ROOT / package).rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def loaded_by(module: str) -> set[str]:
    """Return all modules that are loaded once `module` has been imported, indirect imports included."""
    program = f"import {module}, sys; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_arrows_go_down_only() -> None:
    """No module imports a module above it, or a library outside its concern."""
    found = {module: violations(module, path.read_text()) for module, path in modules().items()}
    assert not {module: names for module, names in found.items() if names}


def test_folder_of_the_product_is_in_the_table() -> None:
    """A new folder of the product cannot escape the table."""
    for module in modules():
        exempt = module == "shared.__init__" or module.startswith("tests.")
        assert exempt or within(module, tuple(ARROWS)), module


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("booking_worker.bookings.service", "from shared.client import BookingClient"),
        ("booking_worker.bookings.service", "from shared import BookingClient"),
        ("booking_worker.bookings.service", "import hold_worker.service"),
        ("booking_worker.reads.service", "from booking_worker.bookings.service import valid_id"),
        ("gateway.api.calls", "import json, pymongo"),
        ("gateway.api.calls", "from shared.stores.mongo.bookings import BookingStore"),
        ("gateway.api.routes", "from gateway.app import create_app"),
        ("gateway.http.middleware", "from gateway.api.calls import HotCalls"),
        ("gateway.docs.parts", "from gateway.http.body import JSON"),
        ("shared.worker.run", "def f():\n    from booking_worker.app import booking_worker"),
        ("shared.stores.redis.holds", "from shared.worker.batcher import Batcher"),
        ("shared.stores.redis.holds", "from ...worker import batcher"),
        ("shared.domain.booking", "from shared.stores.mongo.bookings import BookingStore"),
        ("shared.domain.booking", "import asyncio"),
        ("shared.contract.commands", "from ..domain.grid import Grid"),
        ("shared.contract.commands", "import structlog"),
        ("shared.contract.schedules", "import holidays"),
        ("shared.client.command_client", "from ..process.settings import NatsSettings"),
        ("shared.client.__init__", "from ..worker.batcher import Batcher"),
        ("shared.client.client", "import httpx"),
        ("shared.cli.output", "from ..process.settings import NatsSettings"),
        ("shared.examples.script", "from shared import BookingClient"),
        ("shared.process.nats_options", "from shared.contract.errors import Refused"),
        ("tests.unit.test_grid", "from motor.motor_asyncio import AsyncIOMotorClient"),
    ],
)
def test_control_wrong_import_is_found(module: str, source: str) -> None:
    """The tables refuse one wrong import of every kind."""
    assert violations(module, source)


def test_gateway_loads_no_database_driver() -> None:
    """The gateway loads no driver, not even through `shared`."""
    loaded = loaded_by("gateway.app")
    assert not {"motor", "pymongo", "redis"} & loaded
    assert "shared.client.command_client" in loaded


@pytest.mark.parametrize("worker", ["booking_worker", "hold_worker"])
def test_worker_does_not_load_the_client(worker: str) -> None:
    """A worker answers commands and never sends one, so it never loads the client."""
    loaded = loaded_by(f"{worker}.app")
    assert not {name for name in loaded if within(name, ("shared.client",))}
    assert "shared.stores.redis.holds" in loaded
