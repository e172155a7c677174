"""Print the changes of slots that the gateway streams, until the command is stopped."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from time import sleep
from typing import Any, NamedTuple

from ..contract.instants import format_instant
from ..contract.replies import TakenSlot
from . import streams
from .gateway import RETRY_SECONDS, Event, ExitCode, Failed, Query
from .output import UNKNOWN_HOLDS, Output, format_minutes
from .times import format_time

ENDED = "The gateway has ended the stream"


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


def watch_slots(output: Output, query: Query) -> None:
    """Print the taken slots and then each change, until stdout is closed.

    If the gateway is lost meanwhile, the command waits for it; if it never answered, the command ends.
    """
    shown: dict[SlotOfResource, str] | None = None
    lost, retry = False, RETRY_SECONDS
    with suppress(KeyboardInterrupt):
        while not streams.lost():
            failed = Failed(ExitCode.NOT_EXECUTED, ENDED)
            try:
                for event in output.gateway.stream("live", query):
                    retry = retry if event.retry is None else event.retry
                    if event.name:
                        if lost:
                            output.print_error("It answers again")
                        lost, shown = False, _show(output, event, shown or {})
                    if streams.lost():
                        return
            except Failed as error:
                failed = error
            if shown is None:
                raise output.end(failed) from None
            if not lost:
                output.print_error(f"{failed.text}; still trying")
            lost = True
            sleep(retry)


def _show(output: Output, event: Event, before: Mapping[SlotOfResource, str]) -> dict[SlotOfResource, str]:
    """Print the slots of an event that were not shown before, and return all that are shown now."""
    data = json.loads(event.data)
    if data["holds"] == "unknown":
        output.print_error(UNKNOWN_HOLDS)
    taken = _read(data["taken"])
    gone = {(slot.slot, slot.resource) for slot in (*taken, *_read(data.get("freed", ())))}
    stays = before if event.name == "changes" else {}
    after = {slot: state for slot, state in stays.items() if (slot.slot, slot.resource) not in gone} | taken
    for slot, state in changes(before, after):
        _print_change(output, slot, state)
    return after


def _read(rows: Any) -> dict[SlotOfResource, str]:
    taken = map(TakenSlot.model_validate, rows)
    return {SlotOfResource(row.slot, row.durationMinutes, row.resource): row.state for row in taken}


def _print_change(output: Output, slot: SlotOfResource, state: str) -> None:
    minutes = {} if slot.minutes is None else {"durationMinutes": slot.minutes}
    body = {"resource": slot.resource, "slot": format_instant(slot.slot), **minutes, "state": state}
    output.print(
        f"{format_time(slot.slot)}{format_minutes(slot.minutes, ' ({} minutes)')}  {state}  {slot.resource}",
        body,
    )
