"""The command `events`: it reads NATS, and prints each change of a booking."""

import asyncio
import sys
from contextlib import suppress

import structlog
import typer
from pydantic_core import from_json

from ..client import BookingClient
from ..contract.errors import InvalidRequest
from ..contract.events import BookingEvent
from ..contract.instants import format_instant
from . import streams
from .gateway import ExitCode
from .options import LOCAL_NATS, Access, AsJson, Durable, Nats, Since, Site
from .output import format_minutes, print_json
from .times import format_time

CONNECT_SECONDS = 5


def events(
    *,
    site: Site = None,
    since: Since = None,
    durable: Durable = None,
    nats: Nats = LOCAL_NATS,
    access: Access = None,
    json: AsJson = False,
) -> None:
    """Print the changes of bookings as they are made, without names, until Ctrl-C."""
    # A new logger each time: the standard error of this moment may be replaced and closed.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    try:
        client = BookingClient(nats, name="slotkeeper", access=access)
        following = client.events(site=site, since=since, durable=durable)
    except ValueError as error:
        name, _, problem = str(error).partition(" ")
        raise typer.BadParameter(f"{'--access' if name == 'access' else '--nats'} {problem}") from None
    except InvalidRequest as refused:
        raise typer.BadParameter(refused.text) from None

    async def follow() -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await client.connect()
        except (TimeoutError, OSError):
            print(client.refusal or "NATS cannot be reached", file=sys.stderr)
            raise typer.Exit(ExitCode.NOT_EXECUTED) from None
        try:
            async for event in following:
                _print(event, json)
                if streams.lost():
                    return
        finally:
            await client.close()

    with suppress(KeyboardInterrupt):
        asyncio.run(follow())


def _print(event: BookingEvent, as_json: bool) -> None:
    place = event.place
    if as_json:
        print_json({"type": event.type, "at": format_instant(event.at), **from_json(event.body())})
        return
    words = [
        format_time(event.at),
        event.type,
        event.site,
        format_time(place.slot) + format_minutes(place.durationMinutes, " ({} minutes)"),
        ", ".join(place.resources),
        f"{event.id} version {event.version}",
    ]
    print("  ".join(words), flush=True)
