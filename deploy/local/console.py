"""Print messages for the person who runs the stack."""

import contextlib
import os
import shlex
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from deploy.local.demo import SITE
from deploy.local.ports import shown
from deploy.local.process import ROOT
from deploy.local.state import DATA

SCOPES = "book,hold,move,cancel,read,names,schedules"
NEW_KEY = f"slotkeeper-keys new -f keys.json --name me --all-sites --scopes {SCOPES}"
SERVERS = {"MONGO_URI": "MongoDB", "REDIS_URL": "Redis", "NATS_URL": "NATS"}


def print_line(line: str) -> None:
    """Print a line; a closed terminal is not a failure."""
    with contextlib.suppress(OSError, ValueError):
        print(line, flush=True)


def ready_message(
    url: str, data: Path, given: Mapping[str, str], *, secure: bool, is_open: bool, has_demo: bool
) -> str:
    """Describe how to use a stack that is ready.

    `given` are the addresses, by variable, of servers that the stack did not start. `secure`: its NATS has
    accounts. `is_open`: its gateway has no keys. `has_demo`: it has the demo site.
    """
    prove, env = "make prove", "make env"
    if data != DATA:
        prove = f'make prove ARGS="--url {url}"'
        python = sys.executable.removeprefix(f"{ROOT}/")
        env = f"{python} -m deploy.local --data {shlex.quote(str(data))} env"
    servers = {SERVERS[name]: f"{shown(address)} (from {name})" for name, address in given.items() if address}
    programs = str(Path(sys.executable).parent).removeprefix(f"{ROOT}/")
    closing = {
        "It needs no key; to close it": f"{programs}/{NEW_KEY}",
        "then start it with": "API_KEYS_FILE=keys.json make up",
    }
    key = "" if is_open else ' -H "Authorization: Bearer $KEY"'
    page = f"{url}/book/{SITE}" if has_demo and is_open else f"{url}/"
    needs_page_key = not is_open and not os.environ.get("PAGE_KEY")
    desk = f"{url}/day/{SITE}" + ("" if is_open else f"  (its key needs site {SITE} and schedules)")
    rows = {
        "Book in a browser": f"{page}  (first set PAGE_KEY)" if needs_page_key else page,
        **({"See the day at the desk": desk} if has_demo else {}),
        **({"Book by text message": f"{url}/sms"} if has_demo else {}),
        "Prove that it cannot double-book": prove,
        "Addresses and process ids": env,
        **servers,
        **({"Access files of NATS": str(data / "access")} if secure else {}),
        **(closing if is_open else {}),
        "Data": str(data),
        "Logs": str(data / "logs"),
        **({} if secure or given["NATS_URL"] else {"Close NATS to others": "make up SECURE=1"}),
        "Stop": f"Ctrl-C, or: kill {os.getpid()}",
    }
    example = textwrap.dedent(
        f"""
        The booking service is ready at {url}  (API: {url}/docs)

          curl -i {url}/api/book-appointment \\
               -H 'Content-Type: application/json' -H 'Idempotency-Key: first-1'{key} \\
               -d '{{"site":"harbour","slot":"2030-01-07T09:00Z","durationMinutes":30,"patientName":"Ada"}}'
        """
    )
    return "\n".join([example, *(f"  {title + ':':<35}{row}" for title, row in rows.items()), ""])
