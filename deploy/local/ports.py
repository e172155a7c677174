"""Choose ports and format addresses."""

import errno
import re
import socket
from contextlib import suppress
from random import SystemRandom

from deploy.local.errors import StackError

LOOPBACK = "127.0.0.1"
ANY_ADDRESS = {"": LOOPBACK, "0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104


def free_port() -> int:
    """Return a free port of the loopback address, which no second call returns for a minute.

    It is below the ports that systems assign to outgoing connections, which could take it before its server
    does. The connection that is closed here leaves the port in TIME_WAIT: a process that sets SO_REUSEADDR,
    as servers do, can listen on it, and a process that does not set it, like this one, cannot.
    https://github.com/Yelp/ephemeral-port-reserve
    """
    while True:
        port = SystemRandom().randrange(10_000, 32_000)
        with suppress(OSError), socket.socket() as server:
            server.bind((LOOPBACK, port))
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.listen()
            with socket.create_connection((LOOPBACK, port)):
                server.accept()[0].close()
            return port


def require_free(host: str, port: int) -> None:
    """Check that a service can listen on an address.

    Raises:
        StackError: it cannot. The message says what to change.
    """
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            line = f"Port {port} is in use; choose another: PORT={port % 65535 + 1} make up"
        elif error.errno == errno.EACCES:
            line = f"PORT: {port} needs more rights than this user has; choose another: PORT=3000 make up"
        else:
            line = f"HOST: cannot listen on {host}: {error.strerror}"
        raise StackError(line) from None


def require_unused(port: int) -> None:
    """Check that no other server has a loopback port: its answers would be taken for ours.

    Raises:
        StackError: another server has it.
    """
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        raise StackError(f"port {port} cannot be used: {error.strerror}") from None


def reachable(host: str) -> str:
    """Return the address at which this machine reaches a server that listens on `host`."""
    return ANY_ADDRESS.get(host, host)


def shown(urls: str) -> str:
    """Return one address or several without the parts that may be secret: credentials and options."""
    return ",".join(re.sub(r"//.*@", "//", url).partition("?")[0] for url in re.split(r",(?=\w+://)", urls))


def answers(port: int, request: bytes, answer: bytes) -> bool:
    """Return whether a server on the loopback address gives the expected answer in its own protocol."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(request)
            return connection.recv(len(answer), socket.MSG_WAITALL) == answer
    except OSError:
        return False
