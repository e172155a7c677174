"""Parse the command line."""

import argparse
import sys
from pathlib import Path

from deploy.local.env import env
from deploy.local.errors import StackError
from deploy.local.state import DATA
from deploy.local.up import up
from shared.process.settings import Misconfigured

DESCRIPTION = """\
Runs MongoDB, Redis, NATS, the gateway and the workers on this machine, without Docker.

  up    start everything, restart what dies, stop everything at Ctrl-C or SIGTERM (the default)
  env   print a running stack's addresses and process ids as shell assignments
"""
SETTINGS = """\
environment:
  PORT, HOST                        where gateways listen (3000, 127.0.0.1)
  GATEWAYS                          how many gateways share that port (1)
  BOOKING_WORKERS, HOLD_WORKERS     how many workers of each kind (2)
  SECURE                            1: NATS has accounts, and a user for each service
  MONGO_URI, REDIS_URL, NATS_URL    a server to use in the place of an embedded one
  and every setting of the services, such as SOFT_HOLD_SECONDS or LOG_LEVEL
"""


def main() -> None:
    """Run the command; a failure prints one line and exits with 1."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local",
        description=DESCRIPTION,
        epilog=SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=["up", "env"], default="up")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data and logs (.local)")
    parser.add_argument("--verbose", action="store_true", help="show the processes' logs too")
    options = parser.parse_args()
    try:
        _do(options.command, options.data and options.data.absolute(), verbose=options.verbose)
    except (StackError, Misconfigured, OSError) as error:
        sys.exit(str(error))


def _do(command: str, data: Path | None, *, verbose: bool) -> None:
    if command == "env":
        print(env(data))
    else:
        up(data or DATA, verbose=verbose)
