"""What changes of a resource while one looks on: polled, for nobody pushes it yet."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from time import sleep
from typing import NamedTuple

from ..contract.instants import format_instant
from ..contract.replies import SlotsFound
from .desk import Desk, lasting
from .gateway import Failed, Query
from .times import shown


class Span(NamedTuple):
    """A slot of a resource, and how long it is."""

    slot: datetime
    resource: str
    minutes: int | None


def changes(before: Mapping[Span, str], after: Mapping[Span, str]) -> Iterator[tuple[Span, str]]:
    """What is booked, held or free now and was not so before, in the order of the slots."""
    for span in sorted({*before, *after}, key=lambda span: (span.slot, span.resource, span.minutes or 0)):
        state = after.get(span, "free")
        if state != before.get(span, "free"):
            yield span, state


def watch_slots(desk: Desk, query: Query, every: float) -> None:
    """Say what is taken, and look again `every` so many seconds.

    A gateway that is lost meanwhile is waited for; one that was never there ends it.
    """
    before: Mapping[Span, str] | None = None
    lost = False
    with suppress(KeyboardInterrupt):
        while True:
            try:
                after = _look(desk, query)
            except Failed as failed:
                if before is None:
                    raise desk.end(failed) from None
                if not lost:
                    desk.complain(f"{failed.text}; still trying")
                lost = True
            else:
                if lost:
                    desk.complain("It answers again")
                lost = False
                for span, state in changes(before or {}, after):
                    _say(desk, span, state)
                before = after
            sleep(every)


def _look(desk: Desk, query: Query) -> dict[Span, str]:
    pages = desk.gateway.pages("slots", SlotsFound, query)
    return {
        Span(taken.slot, taken.resource, taken.durationMinutes): taken.state
        for page in pages
        for taken in page.body.taken
    }


def _say(desk: Desk, span: Span, state: str) -> None:
    minutes = {} if span.minutes is None else {"durationMinutes": span.minutes}
    body = {"resource": span.resource, "slot": format_instant(span.slot), **minutes, "state": state}
    desk.say(f"{shown(span.slot)}{lasting(span.minutes, ' ({} minutes)')}  {span.resource}  {state}", body)
