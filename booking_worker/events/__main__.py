"""Start a relay: `python -m booking_worker.events`.

With `--republish --since TIME` it publishes the events of all changes since then again, and ends.
"""

import argparse
import asyncio

from booking_worker.events.app import NAME, relay
from booking_worker.events.publisher import Unpublished
from booking_worker.events.republish import republish
from shared.contract.instants import parse_instant
from shared.process.logs import configure_logs
from shared.process.settings import LogSettings, Misconfigured, load
from shared.stores.mongo.answered import Unanswered
from shared.worker.run import run


def main() -> None:
    """Parse the command line, and run."""
    parser = argparse.ArgumentParser(prog="python -m booking_worker.events")
    parser.add_argument("--republish", action="store_true", help="publish old events again, and end")
    parser.add_argument("--since", metavar="TIME", help="for example 2030-01-07T09:00Z")
    options = parser.parse_args()
    if options.republish != (options.since is not None):
        parser.error("--republish and --since TIME go together")
    if not options.republish:
        run(NAME, relay)
        return
    try:
        since = parse_instant(options.since)
    except ValueError as error:
        parser.error(f"--since {error}")
    try:
        configure_logs(load(LogSettings), NAME)
        count = asyncio.run(republish(since))
    except Misconfigured as error:
        raise SystemExit(str(error)) from None
    except Unpublished as error:
        raise SystemExit(f"JetStream does not take the events: {error}") from None
    except Unanswered as error:
        raise SystemExit(f"MONGO_URI: {error}") from None
    print(f"Published {count} events again")


if __name__ == "__main__":
    main()
