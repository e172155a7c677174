"""Find the process that owns an end of a loopback connection, so that the proxy can tell clients apart."""

from collections.abc import Collection, Mapping

import psutil


def ports_of(pids: Mapping[str, int], names: Collection[str]) -> dict[int, str]:
    """Map the local ports of the named processes' connections to the names of the processes."""
    ports: dict[int, str] = {}
    for name in names:
        try:
            connections = psutil.Process(pids[name]).net_connections("tcp4")
        except (KeyError, psutil.Error):
            continue
        ports |= {connection.laddr.port: name for connection in connections if connection.raddr}
    return ports
