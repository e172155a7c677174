"""Listening sockets, with one clear line where a port cannot be had."""

import os
import socket

from shared.process.settings import Misconfigured

BACKLOG = 2048
"""How many connections may wait to be accepted."""

STALLED_SECONDS = 15
"""After which the system ends a connection whose other end takes nothing of what was sent to it."""


def bind(host: str, port: int, *, variable: str, share: bool = False) -> socket.socket:
    """A listening socket. With `share`, other processes of this user that share it too may listen there.

    The system then spreads connections evenly. (A socket that processes inherit is no substitute: whoever
    wakes first takes all that wait, and of few callers that stay connected one process has all.)

    Raises:
        Misconfigured: it cannot be had; the line names the variable that set the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=share)
    except socket.gaierror:
        raise Misconfigured(f"HOST: no such address: {host}") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "no such address"
        raise Misconfigured(f"{variable}: cannot listen on {host}:{port}: {reason}") from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_SECONDS * 1000)
    return listener
