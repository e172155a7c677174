"""The health port of a gateway, apart from the port of its API."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from deploy.local.ports import free_port
from tests.servers import Servers
from tests.stack import Stack, wait_until

# The gateway reserves 64 of these for purposes other than connections.
DESCRIPTORS = 192
START = ["sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$0" -m gateway', sys.executable]


@pytest.fixture
def health(servers: Servers) -> Iterator[tuple[Stack, str]]:
    """A gateway with few descriptors, and the URL of its health port."""
    port, health_port = free_port(), free_port()
    with servers.new_stack(PORT=str(port), HEALTH_PORT=str(health_port)) as stack:
        stack.url = f"http://127.0.0.1:{port}"
        env = {**os.environ, **stack.env}
        with subprocess.Popen(START, env=env, stdout=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: httpx.get(f"{stack.url}/livez").status_code == 200, "the gateway serves")
                yield stack, f"http://127.0.0.1:{health_port}"
            finally:
                process.terminate()


def test_health_port_answers_while_the_api_port_is_full(health: tuple[Stack, str]) -> None:
    """The health port answers `/livez`, `/readyz` and `/metrics` while connections fill the API's port."""
    stack, url = health
    api = httpx.URL(stack.url)
    for _ in range(2 * DESCRIPTORS):
        stack.closing.enter_context(socket.create_connection((api.host, api.port or 0)))
    with pytest.raises(httpx.TimeoutException):  # control: the port of the API is full
        httpx.get(f"{stack.url}/livez", timeout=1)
    assert httpx.get(f"{url}/livez", timeout=2).json() == {"alive": True}
    ready = httpx.get(f"{url}/readyz", timeout=4)
    assert (ready.status_code, ready.json()["checks"]["nats"]) == (503, "ok")
    assert "booking_http_requests_total" in httpx.get(f"{url}/metrics", timeout=2).text


def test_taken_health_port_is_one_line(health: tuple[Stack, str]) -> None:
    """A second gateway on the same health port ends with one line that names the variable."""
    stack, _ = health
    second = stack.start("gateway", PORT=str(free_port()))
    assert second.wait() == 1
    assert second.log.startswith("HEALTH_PORT: ")
    assert second.log.count("\n") == 1
