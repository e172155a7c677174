"""What others build on the committed documents in TypeScript and Node: the contract is JSON, not Python."""

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
from tests.node import install_packages
from tests.slots import fresh
from tests.stack import Stack

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "tests" / "typescript"
DOCUMENTS = ROOT / "gateway" / "docs"
OLDEST_NODE = 20

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def project() -> Iterator[Path]:
    """The sources beside their packages, which npm installs once; one process uses them at a time."""
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
    """What a program of Node prints, which has to end well."""
    node = shutil.which("node") or "node"
    done = subprocess.run([node, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compile_front_end(folder: Path) -> None:
    """The page, by the types of the document."""
    run(folder, "node_modules/typescript/bin/tsc")


def test_a_front_end_compiles_by_the_document_and_books(project: Path, stack: Stack) -> None:
    """A page in TypeScript books, is refused, moves, reads a day, cancels: by types made of openapi.json."""
    compile_front_end(project)
    told = json.loads(run(project, "use_front_end.mjs", stack.url, f"node-{uuid4().hex[:8]}"))
    assert told == {
        "refused": [409, "SlotAlreadyBooked", "Slot already booked"],
        "moved": "2031-05-05T10:00:00.000Z",
        "day": True,
        "cancelled": "cancelled",
    }


def test_control_a_wrong_field_does_not_compile(project: Path) -> None:
    """The types are no mere `any`: a value that the API does not take is found before it is sent."""
    page = project / "front_end.ts"
    right = page.read_text()
    page.write_text(right.replace("body: { slot }", "body: { slot: 7 }"))
    try:
        with pytest.raises(AssertionError, match="'number' is not assignable to type 'string"):
            compile_front_end(project)
    finally:
        page.write_text(right)


def test_node_books_over_nats(project: Path, stack: Stack) -> None:
    """A service in Node books by the subject and the JSON of the document alone, and reads a refusal."""
    url, body = stack.env["NATS_URL"], fresh()

    def book(**fields: Any) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(
            run(project, "book_over_nats.mjs", url, json.dumps({**body, **fields}))
        )
        return told

    booked = book(idempotencyKey=str(uuid4()))
    assert (booked["status"], booked["body"]["appointment"]["status"]) == (201, "booked")
    refused = book(patientName="Grace")
    assert (refused["status"], refused["type"]) == (409, "SlotAlreadyBooked")


def test_node_follows_events(project: Path, servers: Servers) -> None:
    """A service in Node reads the events of a site by the document alone, without our client."""
    body = fresh()
    with servers.new_stack() as stack:
        stack.up()
        stack.start("booking_worker.events")
        stack.wait_serving()
        url = f"{stack.url}/api"
        booked = httpx.post(f"{url}/book-appointment", json=body).json()["appointment"]
        httpx.delete(f"{url}/appointments/{booked['id']}").raise_for_status()
        wait_until(lambda: has_stream(stack), "the relay has created the stream")
        lines = run(project, "follow_events.mjs", stack.env["NATS_URL"], body["site"], "2").splitlines()
    assert [(event["id"], event["type"]) for event in map(json.loads, lines)] == [
        (booked["id"], "appointment.booked"),
        (booked["id"], "appointment.cancelled"),
    ]


def test_asyncapi_s_own_parser_finds_nothing_wrong(project: Path) -> None:
    """The document of the subjects is valid by the rules of AsyncAPI."""
    document = DOCUMENTS / "asyncapi.json"
    told = json.loads(run(project, "parse_asyncapi.mjs", str(document)))
    assert told == {"channels": len(json.loads(document.read_text())["channels"]), "wrong": []}
