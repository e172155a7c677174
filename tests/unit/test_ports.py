"""Ports for servers of tests and of the local stack, many of which may be started at once."""

import socket
from random import SystemRandom

import pytest

from deploy.local.ports import LOOPBACK, free_port, shown


def test_a_port_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that was given is not given again, though its server does not listen yet; and that can."""
    first, draw = free_port(), SystemRandom.randrange
    again = [first, first]
    monkeypatch.setattr(SystemRandom, "randrange", lambda *args: again.pop() if again else draw(*args))
    assert free_port() != first
    assert not again
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
def test_an_address_is_shown_without_its_secrets(url: str, expected: str) -> None:
    """Neither credentials nor options, which may be some, are printed."""
    assert shown(url) == expected
