"""The command line of the benchmark."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.options import SCENARIOS, Options
from tests.bench.sides import AGAINST, EXPRESS, FASTAPI, KEYED, OURS
from tests.bench.tools import WORK

_MOST = 10_000_000

DESCRIPTION = """\
Measure this service and two simple monoliths on the same servers.

book         bookings; every request has a slot of its own
storm        bookings; a hundred requests in turn compete for the same slot
hold         holds; every request has a slot of its own
alone        bookings of one caller on an idle system
beside       bookings of one caller while 256 other callers book
long         bookings of 30 minutes of a resource, and of 60 minutes of two (ours only)
overlap      bookings of 30 minutes; a hundred requests in turn begin a minute apart (ours only)
cancel       cancels of stored bookings, over HTTP and in batches over NATS (ours only)
move         moves of stored bookings to free slots, over HTTP and in batches over NATS (ours only)
connections  bookings, by the number of connections
workers      bookings, by the number of booking workers (ours only)
stored       bookings, by the number of stored appointments (ours only)
reads        an appointment, a doctor's day and its slots, by the number of stored appointments (ours only)
overload     bookings with ten times the connections; over NATS (ours only) at ten times the peak rate
nats         bookings straight over NATS, single and in batches (ours only)
relay        bookings without and with a relay, and a relay that catches up (ours only)
"""


def parse_options(argv: Sequence[str] | None = None) -> Options:
    """Parse the command line; a wrong argument ends the process with status 2 and an error message."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit status: 0 measured, 1 some answers were wrong, "
        "2 a wrong argument or a missing program, 130 interrupted.",
    )
    parser.add_argument("--quick", action="store_true", help="one short round of everything, two minutes")
    parser.add_argument("--only", type=_names(*SCENARIOS), metavar="A,B", help="only these scenarios")
    parser.add_argument(
        "--sides",
        type=_names(OURS, KEYED, EXPRESS, FASTAPI),
        metavar="A,B",
        help="of ours, keyed, express and fastapi; all but keyed, which has an API key, run by default",
    )
    parser.add_argument(
        "--against",
        type=_checkout,
        metavar="DIR",
        help="another checkout of this repository, measured as one more side",
    )
    parser.add_argument("--connections", type=_number(1), default=64, metavar="N", help="(default: 64)")
    parser.add_argument("--rounds", type=_number(1), metavar="N", help="(default: 5)")
    parser.add_argument("--seconds", type=_number(1), metavar="S", help="of each measurement (default: 5)")
    parser.add_argument("--over-connections", type=_numbers(1), metavar="N,M")
    parser.add_argument("--over-workers", type=_numbers(1), metavar="N,M")
    parser.add_argument("--over-stored", type=_numbers(0), metavar="N,M")
    parser.add_argument(
        "--output",
        type=Path,
        default=WORK,
        metavar="DIR",
        help="of the JSON and the charts (default: .local/bench)",
    )
    given = parser.parse_args(argv)
    quick = given.quick
    sides = given.sides or (OURS, EXPRESS, FASTAPI)
    return Options(
        sides=(*sides, AGAINST) if given.against else sides,
        against=given.against,
        only=given.only or SCENARIOS,
        connections=given.connections,
        rounds=given.rounds or (1 if quick else 5),
        seconds=given.seconds or (1 if quick else 5),
        over_connections=given.over_connections or ((1, 64, 256) if quick else (1, 4, 16, 64, 256, 512)),
        over_workers=given.over_workers or ((1, 2) if quick else (1, 2, 4)),
        over_stored=given.over_stored or ((0, 100_000) if quick else (0, 1_000_000, 5_000_000)),
        output=given.output,
    )


def _checkout(text: str) -> Path:
    path = Path(text).absolute()
    if not (path / "gateway" / "__main__.py").is_file():
        raise argparse.ArgumentTypeError(f"{text} is not a checkout of this repository")
    return path


def _names(*known: str) -> Callable[[str], tuple[str, ...]]:
    def check(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(known)}")
        return names

    return check


def _number(least: int) -> Callable[[str], int]:
    def check(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= _MOST:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {_MOST}")
        return int(text)

    return check


def _numbers(least: int) -> Callable[[str], tuple[int, ...]]:
    check = _number(least)
    return lambda text: tuple(sorted({check(part) for part in text.split(",")}))
