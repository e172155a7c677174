"""Clients in TypeScript and Node work by the committed documents alone, without any Python."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.errors import StackError
from tests.integration.event_log import event_log
from tests.node import install_packages
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "tests" / "typescript"
DOCUMENTS = ROOT / "gateway" / "docs"
PAGES = ROOT / "gateway" / "web" / "static"
OLDEST_NODE = 20

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def project() -> Iterator[Path]:
    """Prepare the sources and their npm packages, installed once, for one process at a time."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("node and npm are not on PATH; on Debian: apt-get install nodejs npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").partition(".")[0]) < OLDEST_NODE:
        pytest.skip(f"node is {version.strip()}; {OLDEST_NODE} or later is needed")
    folder = ROOT / ".local" / "typescript"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        prepare(npm, folder)
        yield folder


def prepare(npm: str, folder: Path) -> None:
    try:
        install_packages(npm, SOURCES / "package.json", folder)
    except StackError as error:
        pytest.skip(str(error))
    for source in SOURCES.iterdir():
        shutil.copy(source, folder)
    openapi = str(DOCUMENTS / "openapi.json")
    run(folder, "node_modules/openapi-typescript/bin/cli.js", openapi, "--output", "api.d.ts")


def run(folder: Path, *command: str) -> str:
    """Return the output of a Node program; fail if the program fails."""
    node = shutil.which("node") or "node"
    done = subprocess.run([node, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compile_front_end(folder: Path) -> None:
    """Compile the page with the types of the document."""
    run(folder, "node_modules/typescript/bin/tsc")


def test_a_front_end_compiles_with_the_types_of_the_document_and_books(project: Path, stack: Stack) -> None:
    """A page in TypeScript, with types generated from openapi.json, books, moves, lists and cancels."""
    compile_front_end(project)
    result = json.loads(run(project, "use_front_end.mjs", stack.url, f"node-{uuid4().hex[:8]}"))
    assert result == {
        "refused": [409, "SlotAlreadyBooked", "Slot already booked"],
        "moved": "2031-05-05T10:00:00.000Z",
        "day": True,
        "cancelled": "cancelled",
    }


def test_control_a_wrong_field_does_not_compile(project: Path) -> None:
    """Control: the types are not `any`, so a value that the API refuses does not compile."""
    page = project / "front_end.ts"
    right = page.read_text()
    page.write_text(right.replace("{ body, params: {", "{ body: { ...body, slot: 7 }, params: {"))
    try:
        with pytest.raises(AssertionError, match="'number' is not assignable to type 'string"):
            compile_front_end(project)
    finally:
        page.write_text(right)


def test_the_scripts_of_the_pages_have_the_right_types(project: Path) -> None:
    """The compiler finds no error in the modules of the pages, by their JSDoc and the browser's own types."""
    check_pages(project, PAGES)


def test_control_a_wrong_argument_in_a_page_is_found(project: Path, tmp_path: Path) -> None:
    """Control: a module that calls another one wrongly does not pass."""
    shutil.copytree(PAGES, tmp_path / "pages")
    module = tmp_path / "pages" / "common" / "live.js"
    module.write_text(module.read_text().replace("sleep(PAUSE_MS *", 'sleep("soon" +'))
    with pytest.raises(AssertionError, match="not assignable to parameter of type 'number'"):
        check_pages(project, tmp_path / "pages")


def check_pages(folder: Path, pages: Path) -> None:
    """Check the types of all modules below `pages`."""
    options = json.loads((SOURCES / "pages.json").read_text())
    configuration = folder / "pages.json"
    vendored = str(pages / "vendor")
    configuration.write_text(json.dumps({**options, "include": [f"{pages}/**/*.js"], "exclude": [vendored]}))
    run(folder, "node_modules/typescript/bin/tsc", "--project", str(configuration))


def test_node_books_over_nats(project: Path, stack: Stack) -> None:
    """A service in Node books and reads a refusal over NATS, by the subject and JSON of the document."""
    url, body = stack.env["NATS_URL"], fresh()

    def book(**fields: Any) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(
            run(project, "book_over_nats.mjs", url, json.dumps({**body, **fields}))
        )
        return result

    booked = book(idempotencyKey=str(uuid4()))
    assert (booked["status"], booked["body"]["appointment"]["status"]) == (201, "booked")
    refused = book(patientName="Grace")
    assert (refused["status"], refused["type"]) == (409, "SlotAlreadyBooked")


async def test_node_follows_events(project: Path, servers: Servers) -> None:
    """A service in Node reads the events of a site by the document alone, without our client."""
    async with event_log(servers) as log:
        log.start_relay()
        booked = await log.life.booked(fresh())
        await log.life.cancel(booked["id"])
        await log.until([f"{booked['id']}:2"])
        url, site = log.stack.env["NATS_URL"], booked["site"]
        lines = (await asyncio.to_thread(run, project, "follow_events.mjs", url, site, "2")).splitlines()
    assert [(event["id"], event["type"]) for event in map(json.loads, lines)] == [
        (booked["id"], "appointment.booked"),
        (booked["id"], "appointment.cancelled"),
    ]


def test_the_asyncapi_parser_accepts_the_document(project: Path) -> None:
    """AsyncAPI's own parser finds no error in the document of the subjects."""
    document = DOCUMENTS / "asyncapi.json"
    result = json.loads(run(project, "parse_asyncapi.mjs", str(document)))
    assert result == {"channels": len(json.loads(document.read_text())["channels"]), "wrong": []}
