"""Where a deployment is, and how its address is shown."""

from urllib.parse import urlsplit

from deploy.local.env import find_stack
from deploy.local.errors import StackError
from deploy.local.ports import shown

__all__ = ["are_same", "of_local_stack", "shown"]

_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


def of_local_stack() -> tuple[str, str] | None:
    """The gateway and the NATS server of the stack that `deploy.local` runs here; None where none runs."""
    try:
        addresses = find_stack().addresses
    except StackError:
        return None
    return addresses["GATEWAY_URL"], addresses["NATS_URL"]


def are_same(url: str, other: str) -> bool:
    """Whether two addresses name one server, as far as can be told from them."""
    one, another = urlsplit(url), urlsplit(other)
    if one.port != another.port:
        return False
    return one.hostname == another.hostname or {one.hostname, another.hostname} <= _THIS_MACHINE
