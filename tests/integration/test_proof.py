"""`python -m tests.proof.race`, the proof that anyone can run: it holds here, and it can fail."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pymongo import MongoClient

from tests.servers import Servers
from tests.stack import Stack

ROOT = Path(__file__).parents[2]


def prove(stack: Stack, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.proof.race", "--url", stack.url, "--nats", stack.env["NATS_URL"]]
    return subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.parametrize("via", ["http", "nats", "both"])
def test_a_sound_deployment_passes(stack: Stack, via: str) -> None:
    """Ten rivals for one slot, a line each, and exit status 0."""
    result = prove(stack, "--via", via)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("Slot already booked") >= 9


def test_many_slots_and_holds_pass(stack: Stack, tmp_path: Path) -> None:
    """Holds race too, half of the winners give way to others; in the end all is cancelled, and on record."""
    report = tmp_path / "report.json"
    options = ["--via", "both", "--requests", "8", "--slots", "6", "--holds", "--check"]
    result = prove(stack, *options, "--json", str(report))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Patient" in report.read_text()
    assert {each["round"] for each in json.loads(report.read_text())["requests"]} == {1, 2}
    assert json.loads(report.read_text())["site"].startswith("prove-")
    assert "every hold honoured" in result.stdout.splitlines()[-1]
    with MongoClient[dict[str, object]](stack.env["MONGO_URI"]) as client:
        site = json.loads(report.read_text())["site"]
        rows = client.get_default_database()["appointments"]
        assert rows.distinct("status", {"site": site, "claims": {"$ne": []}}) == ["cancelled"]
    assert "MONGO_URI is not known: the cancelled rows of site" in result.stdout


def test_a_proof_leaves_no_row(stack: Stack, tmp_path: Path) -> None:
    """Where it knows the database, it deletes all rows of its site in the end, and no others."""
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
def test_rows_that_cannot_be_deleted_are_said_to_stay(stack: Stack, uri: str) -> None:
    """The proof is what it is; the line about the rows repeats nothing of the URI."""
    result = prove(stack, "--mongo", uri)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "stay in MongoDB" in result.stdout
    assert uri not in result.stdout


def test_bookings_that_overlap_in_some_resources_pass(stack: Stack) -> None:
    """Each wants some of three resources: several may win a slot, and no two of them share one."""
    options = ["--via", "both", "--requests", "12", "--slots", "6", "--resources", "3", "--holds", "--check"]
    result = prove(stack, *options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "PROVED: no two winners share a resource" in result.stdout


def test_with_an_index_on_the_first_claim_alone_the_proof_fails(servers: Servers) -> None:
    """Control: where bookings are kept apart by one of their claims, two winners share another: exit 1."""
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
    """Control: with the unique index dropped and nobody watching, the proof sees two winners: exit 1."""
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
    """Control: where held slots are booked by others, the proof finds holds broken: exit status 1."""
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
def test_an_absent_deployment_is_said_to_be_absent(options: list[str]) -> None:
    """Where nothing answers, one line says so, and the exit status is 2."""
    command = [sys.executable, "-m", "tests.proof.race", *options]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "127.0.0.1:9" in result.stderr
