"""Every change has one event, in the order of versions, and every event has its change."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.proof.checker.verdict import Rule, Violation, where
from tests.proof.faults.history import Event, Operation, Row
from tests.proof.faults.places import Change

ACKNOWLEDGING = ("book", "cancel", "history", "erase")


def judge_events(
    operations: Sequence[Operation], rows: Sequence[Row], events: Sequence[Event] | None
) -> Iterator[Violation]:
    """Compare the stream with the rows and the answers; None: the stream was not read."""
    if events is None:
        return
    published: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        published[event.booking].append(event)
    stored = {row.id: row for row in rows}
    about: dict[str | None, list[Operation]] = defaultdict(list)
    for each in operations:
        about[each.appointment_id].append(each)
    acknowledged = {each.appointment_id for each in operations if each.ok and each.kind in ACKNOWLEDGING}
    for id in sorted({*stored, *published, *(each for each in acknowledged if each)}):
        row, told = stored.get(id), published[id]
        found = [*_wrong(row.history if row else (), told)]
        found += [text for each in about[id] for text in _unpublished(each, told)]
        source = row or (told[0].change.place if told else about[id][0])
        for text in dict.fromkeys(found):
            yield Violation(Rule.EVENT, where(source), source.slot, f"{id}: {text}", tuple(about[id]))


def _wrong(history: Sequence[Change], events: Sequence[Event]) -> Iterator[str]:
    """Compare the history of a booking with its events in the order of the stream."""
    changes = {each.version: each for each in history}
    first: dict[int, Event] = {}
    for event in events:
        version = event.change.version
        if event.id != f"{event.booking}:{version}":
            yield f"the event of version {version} has the id {event.id}"
        if version not in changes:
            yield f"the event {event.id} has no change"
        elif not _tells(event, changes[version], changes.get(version - 1)):
            yield f"the event {event.id} differs from its change"
        if first.setdefault(version, event) != event:
            yield f"the event {event.id} was published with two contents"
    if missing := [version for version in changes if version not in first]:
        yield f"the versions {missing} have no event"
    if [*first] != sorted(first):
        yield f"the events come in the order {[*first]}"


def _tells(event: Event, change: Change, before: Change | None) -> bool:
    """Whether an event has the content of a change, and of a move the place before it."""
    previous = before.place if before is not None and change.type == "moved" else None
    same_time = change.at is None or event.change.at == change.at
    return event.change.agrees(change) and same_time and event.previous == previous


def _unpublished(answered: Operation, events: Sequence[Event]) -> Iterator[str]:
    """Yield what an answer has acknowledged or told, and no event."""
    changes = [event.change for event in events]
    if answered.ok and answered.kind == "history":
        for told in answered.changes or ():
            if not any(told.agrees(change) and told.at in (None, change.at) for change in changes):
                yield f"version {told.version} was told in #{answered.number}, and is no event"
    types = {"book": "booked", "cancel": "cancelled", "erase": "erased"}
    if answered.ok and answered.kind in types:
        wanted = types[answered.kind]
        if not any(change.type == wanted for change in changes):
            yield f"#{answered.number} was acknowledged, and no event says {wanted}"
    made_here = answered.ok and answered.kind == "book" and not answered.replayed
    if made_here and not any(each.type == "booked" and each.place == answered.place for each in changes):
        yield f"#{answered.number} was booked at a place that no event tells"
