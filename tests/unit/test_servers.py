"""The servers that the tests run on."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from testcontainers.core.config import testcontainers_config

from tests import servers
from tests.servers import VARIABLES, NoServers

IMAGES = {"mongo:7", "redis:7-alpine", "nats:2.12-alpine"}


class Engine(ThreadingHTTPServer):
    """A fake Docker engine that has only `images`, and reaches no registry."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.images = set[str]()


class _Answers(BaseHTTPRequestHandler):
    server: Engine

    def do_GET(self) -> None:
        path, name = self.path, self.path.removesuffix("/json").rpartition("images/")[2]
        if path.endswith("/_ping") or path.endswith("/version"):
            self._answer(200, {"ApiVersion": "1.41"})
        elif name in self.server.images:
            self._answer(200, {"Id": name})
        else:
            status = 404 if "/images/" in path else 500
            self._answer(status, {"message": "no such host"})

    do_HEAD = do_GET

    def _answer(self, status: int, body: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    for name in ("TEST_SERVERS", *VARIABLES):
        monkeypatch.delenv(name, raising=False)
    servers.choose_kind.cache_clear()
    with Engine() as engine:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{engine.server_port}")
        monkeypatch.setattr(testcontainers_config, "_ryuk_disabled", False)
        thread = threading.Thread(target=engine.serve_forever)
        thread.start()
        yield engine
        engine.shutdown()
        thread.join()
    servers.choose_kind.cache_clear()


def test_embedded_servers_are_used_if_docker_lacks_an_image(engine: Engine) -> None:
    """An engine without all images and without a registry is not used, and the reason is reported."""
    engine.images = IMAGES - {"mongo:7"}
    assert servers.choose_kind() == ("embedded", "Docker neither has mongo:7 nor can get it")


def test_containers_are_used_if_docker_has_their_images(engine: Engine) -> None:
    """No registry and no Ryuk is needed then."""
    engine.images = IMAGES
    assert servers.choose_kind()[0] == "docker"
    assert testcontainers_config.ryuk_disabled


def test_ryuk_is_used_if_its_image_exists(engine: Engine) -> None:
    """Ryuk removes the containers of a killed run."""
    engine.images = IMAGES | {testcontainers_config.ryuk_image}
    assert servers.choose_kind()[0] == "docker"
    assert not testcontainers_config.ryuk_disabled


def test_docker_can_be_required(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With TEST_SERVERS=docker, a missing image ends the run in one line, before any test."""
    monkeypatch.setenv("TEST_SERVERS", "docker")
    with pytest.raises(NoServers, match="TEST_SERVERS=docker: Docker neither has mongo:7 nor can get it"):
        servers.choose_kind()


def test_run_prints_its_servers(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest's header names the servers; if they are not available, one error line is printed."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "tests/unit/test_ports.py"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "servers: embedded (Docker neither has mongo:7 nor can get it)\n" in run.stdout
    monkeypatch.setenv("TEST_SERVERS", "docker")
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert run.stderr.strip() == "ERROR: TEST_SERVERS=docker: Docker neither has mongo:7 nor can get it"
