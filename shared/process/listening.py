"""Bind listening sockets, with one clear message if a port is not available."""

import os
import socket

from shared.process.settings import Misconfigured

BACKLOG = 2048
"""How many connections may wait to be accepted."""

STALLED_SECONDS = 15
"""The system ends a connection whose peer acknowledges no data for this long."""


def bind(host: str, port: int, *, variable: str, share: bool = False) -> socket.socket:
    """Bind a listening socket. With `share`, this user's other processes may share the port.

    The system then spreads connections evenly. (An inherited socket is no substitute: the process that wakes
    first accepts all waiting connections, so of a few long-lived connections one process gets all.)

    Raises:
        Misconfigured: the port is not available. The message names the variable that set it.
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
