"""Print changes of slots while a command runs. It polls, as the gateway pushes no changes yet."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from time import sleep
from typing import NamedTuple

from ..contract.instants import format_instant
from ..contract.replies import SlotsFound
from . import streams
from .gateway import Failed, taken_of
from .output import Output, format_minutes
from .times import format_time


class SlotOfResource(NamedTuple):
    """A slot of a resource, and its duration in minutes."""

    slot: datetime
    minutes: int | None
    resource: str


def changes(
    before: Mapping[SlotOfResource, str], after: Mapping[SlotOfResource, str]
) -> Iterator[tuple[SlotOfResource, str]]:
    """Yield the slots that became booked, held or free, with their new state, ordered by slot."""
    for slot in sorted({*before, *after}, key=lambda slot: (slot.slot, slot.resource, slot.minutes or 0)):
        state = after.get(slot, "free")
        if state != before.get(slot, "free"):
            yield slot, state


def watch_slots(output: Output, queries: Sequence[Mapping[str, str]], every: float) -> None:
    """Print the taken slots and then each change, polling every `every` seconds until stdout is closed.

    If the gateway is lost meanwhile, the command waits for it; if it never answered, the command ends.
    """
    before: Mapping[SlotOfResource, str] | None = None
    lost = False
    with suppress(KeyboardInterrupt):
        while not streams.lost():
            try:
                after = _look(output, queries)
            except Failed as failed:
                if before is None:
                    raise output.end(failed) from None
                if not lost:
                    output.print_error(f"{failed.text}; still trying")
                lost = True
            else:
                if lost:
                    output.print_error("It answers again")
                lost = False
                for slot, state in changes(before or {}, after):
                    _print_change(output, slot, state)
                before = after
            sleep(every)


def _look(output: Output, queries: Sequence[Mapping[str, str]]) -> dict[SlotOfResource, str]:
    pages = [page for query in queries for page in output.gateway.pages("slots", SlotsFound, query)]
    output.warn_of_holds(pages)
    return {
        SlotOfResource(taken.slot, taken.durationMinutes, as_sent["resource"]): taken.state
        for page in pages
        for taken, as_sent in taken_of(page)
    }


def _print_change(output: Output, slot: SlotOfResource, state: str) -> None:
    minutes = {} if slot.minutes is None else {"durationMinutes": slot.minutes}
    body = {"resource": slot.resource, "slot": format_instant(slot.slot), **minutes, "state": state}
    output.print(
        f"{format_time(slot.slot)}{format_minutes(slot.minutes, ' ({} minutes)')}  {state}  {slot.resource}",
        body,
    )
