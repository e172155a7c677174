"""A copy of a site's calendar, kept up to date by events: for a display, a bill or a statistic.

python calendar_copy.py --nats nats://localhost:4222 --site harbour
"""

import argparse
import asyncio
import sys
from contextlib import suppress

import structlog
from slotkeeper import BookingClient, BookingEvent


class Calendar:
    """The booked appointments of a site: where each one lies, by its id."""

    def __init__(self) -> None:
        self.appointments: dict[str, BookingEvent] = {}
        self._versions: dict[str, int] = {}

    def apply(self, event: BookingEvent) -> bool:
        """Apply an event; return False for a duplicate, which may come after newer events of its booking."""
        if event.version <= self._versions.get(event.id, 0):
            return False
        self._versions[event.id] = event.version
        if event.type == "cancelled":
            del self.appointments[event.id]
        elif event.type != "erased":  # of a cancelled appointment too; a copy with names deletes them now
            self.appointments[event.id] = event
        return True


async def follow(nats_url: str, site: str, since: str) -> None:
    calendar = Calendar()
    async with BookingClient(nats_url) as client:
        # With durable="a-name", NATS remembers what this program has seen, and `since` counts only once.
        async for event in client.events(site=site, since=since):
            if calendar.apply(event):
                where, booked = ", ".join(event.place.resources), len(calendar.appointments)
                when = f"{event.place.slot:%Y-%m-%d %H:%M}"
                print(f"{event.type}  {when}  {where}  ({booked} booked)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nats", default="nats://localhost:4222")
    parser.add_argument("--site", default="default")
    parser.add_argument("--since", default="2026-01-01T00:00Z")
    words = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with suppress(KeyboardInterrupt):
        asyncio.run(follow(words.nats, words.site, words.since))


if __name__ == "__main__":
    main()
