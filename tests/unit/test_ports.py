"""Ports for the many servers that tests and local stacks start at the same time."""

import socket
from random import SystemRandom

import pytest

from deploy.local.ports import LOOPBACK, free_port, shown


def test_port_is_handed_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port is not handed out again before its server listens, and the server can use it."""
    first, draw = free_port(), SystemRandom.randrange
    draws = [first, first]
    monkeypatch.setattr(SystemRandom, "randrange", lambda *args: draws.pop() if draws else draw(*args))
    assert free_port() != first
    assert not draws
    with socket.create_server((LOOPBACK, first)) as server:
        assert server.getsockname() == (LOOPBACK, first)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nats://localhost:4222", "nats://localhost:4222"),
        ("nats://u:secret@a:1,tls://secret@b:2", "nats://a:1,tls://b:2"),
        ("mongodb://u:secret,@a:1,b:2/booking?replicaSet=rs0", "mongodb://a:1,b:2/booking"),
        ("redis://:sec/ret@a:1/0?password=secret", "redis://a:1/0"),
    ],
)
def test_address_is_printed_without_its_secrets(url: str, expected: str) -> None:
    """Credentials and options, which may contain secrets, are not printed."""
    assert shown(url) == expected
