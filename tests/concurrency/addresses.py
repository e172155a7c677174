"""Where a deployment is, and how its address is shown."""

import shlex
import subprocess
import sys
from urllib.parse import urlsplit

from tests.concurrency.options import DEFAULT_NATS

_SECONDS_TO_ASK = 20


def shown(url: str) -> str:
    """The address without user and password."""
    return ",".join(_without_credentials(part) for part in url.split(","))


def nats_of_local_stack() -> str:
    """The NATS server of the stack that `deploy.local` runs here, else the usual address."""
    command = [sys.executable, "-m", "deploy.local", "env"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_TO_ASK, check=True)
        words = shlex.split(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return DEFAULT_NATS
    return dict(word.split("=", 1) for word in words if "=" in word).get("NATS_URL", DEFAULT_NATS)


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
