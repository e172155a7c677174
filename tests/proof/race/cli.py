"""The command line."""

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from tests.proof.race.addresses import Addresses, are_same, of_local_stack
from tests.proof.race.options import DEFAULT_NATS, DEFAULT_URL, Options

SERVERS = (("nats", "NATS_URL"), ("mongo", "MONGO_URI"))
_MOST = 10_000
_MOST_RESOURCES = 8


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print the error in one line, without the long usage text."""
        self.exit(2, f"{message} (all options: --help)\n")


def parse_options(argv: Sequence[str] | None = None) -> Options:
    """Read the command line; on an error, print it and exit with status 2."""
    parser = _Parser(
        prog="python -m tests.proof.race",
        description="Prove on a running deployment that one of many simultaneous requests wins.",
        epilog="Exit status: 0 proved, 1 an invariant was broken or a request not answered, "
        "2 wrong arguments or key, or nothing answers, 130 interrupted.",
    )
    parser.add_argument(
        "--url", type=_http_url, help=f"the gateway (default: the local stack's, else {DEFAULT_URL})"
    )
    parser.add_argument(
        "--nats",
        type=_nats_url,
        help=f"its NATS server (default: $NATS_URL, else the local stack's, else {DEFAULT_NATS})",
    )
    parser.add_argument(
        "--mongo",
        metavar="URI",
        help="its database, from which the rows of the run are deleted (default: $MONGO_URI, "
        "else the local stack's, else the rows stay)",
    )
    parser.add_argument(
        "--requests", type=_count, default=10, metavar="N", help="bookings per slot (default: 10)"
    )
    parser.add_argument("--slots", type=_count, default=1, metavar="M", help="fresh slots (default: 1)")
    parser.add_argument(
        "--resources",
        type=_resources,
        default=1,
        metavar="R",
        help=f"a booking wants 1 to R resources; R is at most {_MOST_RESOURCES} (default: 1)",
    )
    parser.add_argument("--via", choices=("http", "nats", "both"), default="http", help="default: http")
    parser.add_argument("--holds", action="store_true", help="N holds per slot race with the bookings")
    parser.add_argument("--json", type=_writable, metavar="FILE", help="write every request and the verdict")
    parser.add_argument(
        "--timeout", type=_seconds, default=15, metavar="SECONDS", help="per request (default: 15)"
    )
    parser.add_argument(
        "--check", action="store_true", help="judge the run with the checker of the fault tests too"
    )
    given = vars(parser.parse_args(argv))
    nats, mongo = (
        given[name] or os.environ.get(name_in_environment) for name, name_in_environment in SERVERS
    )
    return Options(**{**given, **_addresses(given["url"], nats, mongo)._asdict()})


def _addresses(url: str | None, nats: str | None, mongo: str | None) -> Addresses:
    """Return the addresses of one deployment: two deployments would show two winners of a slot."""
    local, access = of_local_stack(), os.environ.get("NATS_ACCESS_FILE", "")
    if local and (url is None or are_same(url, local.url)):
        return Addresses(url or local.url, nats or local.nats, mongo or local.mongo, access or local.access)
    return Addresses(url or DEFAULT_URL, nats or DEFAULT_NATS, mongo, access)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {_MOST}")
    return int(text)


def _resources(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_RESOURCES:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {_MOST_RESOURCES}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _MOST:
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return seconds


def _http_url(text: str) -> str:
    if not _is_url(text, ("http", "https")):
        raise argparse.ArgumentTypeError("must be an http:// or https:// address")
    return text


def _nats_url(text: str) -> str:
    if not all(_is_url(part, ("nats", "tls", "ws", "wss")) for part in text.split(",")):
        raise argparse.ArgumentTypeError("must be a nats:// address, or several separated by commas")
    return text


def _is_url(text: str, schemes: Sequence[str]) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _writable(text: str) -> Path:
    path = Path(text)
    target = path if path.exists() else path.absolute().parent
    if path.is_dir() or not os.access(target, os.W_OK):
        raise argparse.ArgumentTypeError(f"cannot write {text}")
    return path
