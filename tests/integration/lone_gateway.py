"""A gateway without workers, and connections to it."""

import contextlib
import resource
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from tests.servers import Servers
from tests.stack import Service, Stack, wait_until

FEW_DESCRIPTORS = 256


@dataclass
class Gateway:
    """A gateway without workers, and a test's connections to it."""

    stack: Stack
    service: Service
    closing: contextlib.ExitStack

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.stack.url)
        return url.host, url.port or 0

    def connect(self) -> socket.socket:
        connection = self.closing.enter_context(socket.create_connection(self.address))
        connection.settimeout(20)
        return connection


@contextlib.contextmanager
def running_gateway(servers: Servers) -> Iterator[tuple[Stack, Service]]:
    with servers.new_stack() as stack:
        with few_descriptors():
            service = stack.start_gateway()
        wait_until(lambda: httpx.get(f"{stack.url}/livez").status_code == 200, "the gateway serves")
        yield stack, service


@contextlib.contextmanager
def few_descriptors() -> Iterator[None]:
    """Lower the descriptor limit of this process and of the processes that it starts."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_DESCRIPTORS, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def read_to_end(connection: socket.socket) -> bytes:
    """Read until the gateway closes the connection."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while more := connection.recv(65536):
            answer += more
    return answer
