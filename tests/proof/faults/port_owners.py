"""Which process has which end of a loopback connection: how the proxy tells one client from another."""

from collections.abc import Collection, Mapping

import psutil


def ports_of(pids: Mapping[str, int], names: Collection[str]) -> dict[int, str]:
    """The local ports of the connections of the named processes, each with the name of its owner."""
    ports: dict[int, str] = {}
    for name in names:
        try:
            connections = psutil.Process(pids[name]).net_connections("tcp4")
        except (KeyError, psutil.Error):
            continue
        ports |= {connection.laddr.port: name for connection in connections if connection.raddr}
    return ports
