"""Fuzz for some time: `python -m tests.fuzz --seconds 600 --seed 1`."""

import argparse
import random
import sys

from tests.fuzz.run import Broken
from tests.fuzz.stack import fuzz
from tests.servers import choose_servers


def main() -> int:
    """Fuzz a stack of its own, and print what it answered."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.seconds:g} s", flush=True)
    try:
        with choose_servers() as servers:
            report = fuzz(servers, arguments.seed, arguments.seconds)
    except Broken as broken:
        print(f"BROKEN: {broken}", file=sys.stderr)
        return 1
    print(f"{report.inputs} inputs; answers: {report.statuses}; growth in MB: {report.growth}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
