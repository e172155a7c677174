"""Where a deployment is, and how its address is shown."""

import shlex
import subprocess
import sys
from urllib.parse import urlsplit

_SECONDS_TO_ASK = 20
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


def shown(url: str) -> str:
    """The address without user and password."""
    return ",".join(_without_credentials(part) for part in url.split(","))


def of_local_stack() -> tuple[str, str] | None:
    """The gateway and the NATS server of the stack that `deploy.local` runs here; None where none runs."""
    command = [sys.executable, "-m", "deploy.local", "env"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_TO_ASK, check=True)
        said = dict(word.split("=", 1) for word in shlex.split(asked.stdout))
        return said["GATEWAY_URL"], said["NATS_URL"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None


def are_same(url: str, other: str) -> bool:
    """Whether two addresses name one server, as far as can be told from them."""
    one, another = urlsplit(url), urlsplit(other)
    if one.port != another.port:
        return False
    return one.hostname == another.hostname or {one.hostname, another.hostname} <= _THIS_MACHINE


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
