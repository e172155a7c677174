"""The addresses of a deployment, and how they are printed."""

from typing import NamedTuple
from urllib.parse import urlsplit

from deploy.local.env import find_stack
from deploy.local.errors import StackError
from deploy.local.ports import shown

__all__ = ["Addresses", "are_same", "of_local_stack", "shown"]

_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


class Addresses(NamedTuple):
    """The gateway, the NATS server and the database of one deployment."""

    url: str
    nats: str
    mongo: str | None
    access: str = ""
    """The access file of a direct client, if NATS has accounts."""


def of_local_stack() -> Addresses | None:
    """Return the addresses of this checkout's `deploy.local` stack; None if it does not run."""
    try:
        addresses = find_stack().addresses
    except StackError:
        return None
    names = ("GATEWAY_URL", "NATS_URL", "MONGO_URI", "NATS_ACCESS_FILE")
    return Addresses(*(addresses[name] for name in names))


def are_same(url: str, other: str) -> bool:
    """Whether two addresses name one server, as far as the addresses show it."""
    one, another = urlsplit(url), urlsplit(other)
    if one.port != another.port:
        return False
    return one.hostname == another.hostname or {one.hostname, another.hostname} <= _THIS_MACHINE
