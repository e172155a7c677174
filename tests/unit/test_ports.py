"""Ports for servers of tests and of the local stack, many of which may be started at once."""

import socket
from random import SystemRandom

import pytest

from deploy.local.ports import LOOPBACK, free_port


def test_a_port_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that was given is not given again, though its server does not listen yet; and that can."""
    first, draw = free_port(), SystemRandom.randrange
    again = [first, first]
    monkeypatch.setattr(SystemRandom, "randrange", lambda *args: again.pop() if again else draw(*args))
    assert free_port() != first
    assert not again
    with socket.create_server((LOOPBACK, first)) as server:
        assert server.getsockname() == (LOOPBACK, first)
