"""The changes of resources while a command looks on: polled, as the gateway pushes none yet."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from time import sleep
from typing import NamedTuple

from ..contract.instants import format_instant
from ..contract.replies import SlotsFound
from . import output
from .desk import Desk, lasting
from .gateway import Failed, taken_of
from .times import shown


class Span(NamedTuple):
    """A slot of a resource, and how long it is."""

    slot: datetime
    minutes: int | None
    resource: str


def changes(before: Mapping[Span, str], after: Mapping[Span, str]) -> Iterator[tuple[Span, str]]:
    """The spans that are booked, held or free now and were not before, in the order of the slots."""
    for span in sorted({*before, *after}, key=lambda span: (span.slot, span.resource, span.minutes or 0)):
        state = after.get(span, "free")
        if state != before.get(span, "free"):
            yield span, state


def watch_slots(desk: Desk, queries: Sequence[Mapping[str, str]], every: float) -> None:
    """Print the taken slots, and look again `every` so many seconds, while somebody reads it.

    A gateway that is lost meanwhile is waited for; one that was never there ends the command.
    """
    before: Mapping[Span, str] | None = None
    lost = False
    with suppress(KeyboardInterrupt):
        while not output.lost():
            try:
                after = _look(desk, queries)
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


def _look(desk: Desk, queries: Sequence[Mapping[str, str]]) -> dict[Span, str]:
    pages = [page for query in queries for page in desk.gateway.pages("slots", SlotsFound, query)]
    desk.warn_of_holds(pages)
    return {
        Span(taken.slot, taken.durationMinutes, as_sent["resource"]): taken.state
        for page in pages
        for taken, as_sent in taken_of(page)
    }


def _say(desk: Desk, span: Span, state: str) -> None:
    minutes = {} if span.minutes is None else {"durationMinutes": span.minutes}
    body = {"resource": span.resource, "slot": format_instant(span.slot), **minutes, "state": state}
    desk.say(f"{shown(span.slot)}{lasting(span.minutes, ' ({} minutes)')}  {state}  {span.resource}", body)
