"""Listening sockets, with one clear line where a port cannot be had."""

import socket


def bind(host: str, port: int, *, variable: str) -> socket.socket:
    """A listening socket.

    Raises:
        SystemExit: it cannot be had; the one line names the variable that set the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SystemExit(f"{variable}: cannot listen on {host}:{port}: {error.strerror or error}") from None
