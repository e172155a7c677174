"""Starts a relay: `python -m booking_worker.events`."""

from booking_worker.events.app import NAME, relay
from shared.worker.run import run

if __name__ == "__main__":
    run(NAME, relay)
