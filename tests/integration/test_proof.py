"""`python -m tests.proof.race` passes on a sound deployment, and fails without a safeguard."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pymongo import MongoClient

from tests.keys import KeyFile, bearer
from tests.servers import Servers
from tests.stack import Stack, wait_until

ROOT = Path(__file__).parents[2]
OTHER_SITE = "The key does not permit this site"


def prove(stack: Stack, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.proof.race", "--url", stack.url, "--nats", stack.env["NATS_URL"]]
    return subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.parametrize("via", ["http", "nats", "both"])
def test_a_sound_deployment_passes(stack: Stack, via: str) -> None:
    """On a sound deployment ten rivals for one slot get a line each, and the exit status is 0."""
    result = prove(stack, "--via", via)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("Slot already booked") >= 9


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    return KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")


@pytest.fixture(scope="module")
def closed(servers: Servers, key_file: KeyFile) -> Iterator[Stack]:
    with servers.new_stack(API_KEYS_FILE=str(key_file.path)) as stack:
        yield stack.up(booking_workers=1)


@pytest.mark.parametrize(
    ("scopes", "said"),
    [
        (None, "The gateway needs a valid key: SLOTKEEPER_API_KEY"),
        ("hold cancel read names", "The key does not have the scope book"),
        ("book cancel read names", "The key does not have the scope hold"),
        ("book hold read names", "The key does not have the scope cancel"),
        ("book hold cancel names", "The key does not have the scope read"),
        ("book hold cancel read names", OTHER_SITE),
        ("book hold cancel read names", ""),
    ],
)
def test_a_proof_with_a_wrong_key_ends_with_one_line(
    closed: Stack, key_file: KeyFile, monkeypatch: pytest.MonkeyPatch, scopes: str | None, said: str
) -> None:
    """A missing key, scope or site is no violation, and nothing is raced; control: a key of all passes."""
    if scopes is not None:
        token = key_file.new(*scopes.split(), sites=["harbour"] if said == OTHER_SITE else "all")
        grid = f"{closed.url}/api/grid"
        wait_until(lambda: httpx.get(grid, headers=bearer(token)).is_success, "the key is read")
        monkeypatch.setenv("SLOTKEEPER_API_KEY", token)
    result = prove(closed, "--holds")
    assert result.stderr.startswith(said)
    assert result.stderr.count("\n") == bool(said), result.stderr
    assert result.returncode == (2 if said else 0), result.stdout
    assert bool(result.stdout) != bool(said), result.stdout


def test_many_slots_and_holds_pass(stack: Stack, tmp_path: Path) -> None:
    """The proof races holds, frees half of the slots for a second round, cancels all, and writes a report."""
    report = tmp_path / "report.json"
    options = ["--via", "both", "--requests", "8", "--slots", "6", "--holds", "--check"]
    result = prove(stack, *options, "--json", str(report))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Patient" in report.read_text()
    assert {request["round"] for request in json.loads(report.read_text())["requests"]} == {1, 2}
    assert json.loads(report.read_text())["site"].startswith("prove-")
    assert "every hold honoured" in result.stdout.splitlines()[-1]
    with MongoClient[dict[str, object]](stack.env["MONGO_URI"]) as client:
        site = json.loads(report.read_text())["site"]
        rows = client.get_default_database()["appointments"]
        assert rows.distinct("status", {"site": site, "claims": {"$ne": []}}) == ["cancelled"]
    assert "MONGO_URI is not known: the cancelled rows of site" in result.stdout


def test_a_proof_leaves_no_row(stack: Stack, tmp_path: Path) -> None:
    """With `--mongo` the proof deletes all rows of its own site at the end, and no other rows."""
    report = tmp_path / "report.json"
    with MongoClient[dict[str, object]](stack.env["MONGO_URI"]) as client:
        rows = client.get_default_database()["appointments"]
        others = rows.count_documents({})
        result = prove(stack, "--via", "both", "--json", str(report), "--mongo", stack.env["MONGO_URI"])
        assert result.returncode == 0, result.stdout + result.stderr
        assert rows.count_documents({"site": json.loads(report.read_text())["site"]}) == 0
        assert rows.count_documents({}) >= others
    assert "deleted from MongoDB" in result.stdout


@pytest.mark.parametrize("uri", ["mongodb://127.0.0.1:1/booking", "http://nowhere", "mongodb://a:b:c@d"])
def test_rows_that_cannot_be_deleted_are_reported(stack: Stack, uri: str) -> None:
    """If the rows cannot be deleted, the proof still passes and reports them, without the URI."""
    result = prove(stack, "--mongo", uri)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "stay in MongoDB" in result.stdout
    assert uri not in result.stdout


def test_bookings_that_overlap_in_some_resources_pass(stack: Stack) -> None:
    """If requests want some of three resources, several may win a slot, but no two share a resource."""
    options = ["--via", "both", "--requests", "12", "--slots", "6", "--resources", "3", "--holds", "--check"]
    result = prove(stack, *options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "PROVED: no two winners share a resource" in result.stdout


def test_with_an_index_on_the_first_claim_alone_the_proof_fails(servers: Servers) -> None:
    """Control: with an index on the first claim alone, two winners share another claim: exit status 1."""
    with servers.new_stack() as stack:
        stack.start_gateway()
        for module in ("booking_worker", "hold_worker"):
            stack.start(module, without="first_claim_only")
        stack.wait_ready()
        result = prove(stack, "--requests", "20", "--slots", "5", "--resources", "3", "--check")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "VIOLATION no two winners share a resource" in result.stdout
    assert "VIOLATION the history is linearizable" in result.stdout


def test_without_the_unique_index_the_proof_fails(servers: Servers) -> None:
    """Control: without the unique index and its check, the proof finds two winners: exit status 1."""
    with servers.new_stack() as stack:
        stack.start_gateway()
        for module in ("booking_worker", "booking_worker", "hold_worker"):
            stack.start(module, without="no_index_check")
        stack.wait_ready()
        with MongoClient[dict[str, object]](stack.env["MONGO_URI"]) as client:
            client.get_default_database()["appointments"].drop_indexes()
        result = prove(stack, "--requests", "20", "--check")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "VIOLATION the history is linearizable" in result.stdout


def test_without_the_hold_check_the_proof_fails(servers: Servers) -> None:
    """Control: if held slots are booked by other patients, the proof finds broken holds: exit status 1."""
    with servers.new_stack() as stack:
        stack.start_gateway()
        stack.start("booking_worker", without="no_hold_check")
        stack.start("hold_worker")
        stack.wait_ready()
        result = prove(stack, "--requests", "5", "--slots", "10", "--holds")
    assert result.returncode == 1, result.stdout + result.stderr


@pytest.mark.parametrize(
    "options",
    [["--url", "http://127.0.0.1:9"], ["--via", "nats", "--nats", "nats://127.0.0.1:9"]],
    ids=["http", "nats"],
)
def test_an_unreachable_deployment_is_reported(options: list[str]) -> None:
    """If the deployment does not answer, one line names its address, and the exit status is 2."""
    command = [sys.executable, "-m", "tests.proof.race", *options]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "127.0.0.1:9" in result.stderr
