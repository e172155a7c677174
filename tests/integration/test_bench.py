"""The benchmark compares with monoliths that do the same work, and leaves no process behind."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import psutil
import pytest

from deploy.local.ports import LOOPBACK
from deploy.local.process import ROOT
from tests.bench.servers import Servers
from tests.bench.sides import EXPRESS, FASTAPI, Side
from tests.bench.tools import WORK
from tests.bench.wrk import APPOINTMENTS, BOOK, HOLD, http_load

SLOT = "2031-05-04T10:00:00+02:00"
SAME_SLOT = "2031-05-04T08:00:00Z"
BOOKED = (409, {"error": "Slot already booked"})
HELD = (409, {"error": "Slot is currently held by another user"})
INSTALLED = (WORK / "express" / "node_modules" / ".ready").is_file()


@pytest.fixture(params=[EXPRESS, FASTAPI])
def monolith(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    if request.param == EXPRESS and not INSTALLED:
        pytest.skip("make bench installs Express; it was not run here")
    with (
        Servers.started() as servers,
        Side(request.param).running(servers) as running,
        httpx.Client(base_url=running.url, timeout=20) as client,
    ):
        yield client


def ask(client: httpx.Client, path: str, **body: object) -> tuple[int, dict[str, object]]:
    answer = client.post(path, json=body)
    return answer.status_code, answer.json()


def test_monolith_keeps_the_same_contract(monolith: httpx.Client) -> None:
    """A monolith in the benchmark books, holds, refuses and validates as this service does."""
    status, body = ask(monolith, BOOK, slot=SLOT, patientName="Ada")
    assert status == 201
    assert isinstance(body["appointment"], dict)
    assert body["appointment"]["slot"] == SAME_SLOT.replace("Z", ".000Z")
    assert ask(monolith, BOOK, slot=SAME_SLOT, patientName="Grace") == BOOKED
    assert ask(monolith, HOLD, slot=SAME_SLOT, patientName="Grace") == BOOKED

    later = "2031-05-04T11:00:00Z"
    assert ask(monolith, HOLD, slot=later, patientName="Ada")[0] == 200
    assert ask(monolith, HOLD, slot=later, patientName="Grace") == HELD
    assert ask(monolith, BOOK, slot=later, patientName="Grace") == HELD
    assert ask(monolith, BOOK, slot=later, patientName="Ada")[0] == 201

    missing = (400, {"error": "Missing slot or patientName"})
    assert ask(monolith, BOOK, slot=later) == missing
    for wrong in ("2031-05-04T10:00:00", "1733392800", "2031-05-04T10:00:00.0001Z"):
        assert ask(monolith, BOOK, slot=wrong, patientName="Ada")[0] == 400
    assert ask(monolith, BOOK, slot=later, patientName="A\nB")[0] == 400
    assert ask(monolith, BOOK, slot=later, patientName="Ada", more=1)[0] == 400


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_run_measures_and_leaves_no_process(tmp_path: Path) -> None:
    """A run asks only for free slots, gets an answer to every request, and ends every process it started."""
    only = "--only book,storm,hold,long,overlap,nats,cancel,move,reads --over-stored 0,1000"
    words = f"--sides ours {only} --rounds 1 --seconds 1 --connections 4"
    command = [sys.executable, "-m", "tests.bench", *words.split(), "--output", str(tmp_path)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert run.returncode in {0, 1}, run.stdout + run.stderr
    measured = json.loads((tmp_path / "bench.json").read_text())["measurements"]
    over_nats = {"nats", "nats many", "cancel many", "move many"}
    over_http = {"book", "storm", "hold", "cancel", "move", "appointment", "day", "slots"}
    over_http |= {"half hour", "two an hour", "overlap"}
    assert {each["scenario"] for each in measured} == over_nats | over_http
    for each in measured:
        assert sum(each["statuses"].values()) > 0
        # Over NATS, some commands miss their deadline on a slow machine.
        assert each["wrong"] == 0 or each["scenario"] in over_nats
    assert not [each for each in psutil.process_iter() if str(tmp_path) in _environment(each)]


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_wrk_changes_each_booking_once() -> None:
    """wrk changes each booking once, and repeats its reads in turn."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            asked.append(self.path)
            self.send_response(404 if self.path.endswith("none-left") else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_DELETE = do_GET = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://{LOOPBACK}:{server.server_port}"
    lines = ["/a", "/b", "/c"]  # wrk builds the first request and does not send it
    result = http_load(url, APPOINTMENTS, 1, 1, method="DELETE", lines=lines)
    assert asked[:3] == [f"{APPOINTMENTS}/{each}" for each in ("b", "c", "none-left")]
    assert (result.done, set(asked[2:])) == (2, {f"{APPOINTMENTS}/none-left"})
    asked.clear()
    assert http_load(url, APPOINTMENTS, 1, 1, method="GET", lines=lines).wrong == 0
    assert asked[:4] == [f"{APPOINTMENTS}/{each}" for each in ("b", "c", "a", "b")]
    server.shutdown()
    server.server_close()


def _environment(process: psutil.Process) -> str:
    try:
        return process.environ().get("TMPDIR", "")
    except psutil.Error:
        return ""
