"""What is stored at the end is what callers were told, and nothing else."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence

from tests.faults.checker.model import may_take_effect
from tests.faults.checker.verdict import Rule, Violation, violation
from tests.faults.history import Operation, Row


def judge_rows(operations: Sequence[Operation], rows: Sequence[Row]) -> Iterator[Violation]:
    books = [each for each in operations if each.kind == "book"]
    yield from _lost(books, rows)
    yield from _unasked(books, rows)
    active = [row for row in rows if row.status == "booked"]
    for twins in _twins(active, [(row.resource, row.slot) for row in active]):
        yield _violation(Rule.ONE_WINNER, f"{len(twins)} bookings own the slot", twins, books)
    for twins in _twins(rows, [(row.resource, row.key) for row in rows]):
        yield _violation(Rule.ONE_KEY, f"{len(twins)} bookings have the key {twins[0].key}", twins, books)


def _lost(books: Iterable[Operation], rows: Iterable[Row]) -> Iterator[Violation]:
    stored = {row.id: row for row in rows}
    confirmed = {each.appointment_id: each for each in books if each.ok}
    for id, book in confirmed.items():
        row = stored.get(id or "")
        if row is None:
            yield violation(Rule.DURABLE, f"the booking {id} was confirmed and is gone", book)
        elif wrong := _differences(book, row):
            text = f"the booking {id} was confirmed and is stored with another {wrong}"
            yield violation(Rule.DURABLE, text, book)


def _differences(book: Operation, row: Row) -> str:
    wrong = [name for name in ("resource", "slot", "patient") if getattr(book, name) != getattr(row, name)]
    wrong += ["key"] if book.key not in (None, row.key) else []
    wrong += ["status"] if row.status != "booked" else []
    return ", ".join(wrong)


def _unasked(books: Sequence[Operation], rows: Iterable[Row]) -> Iterator[Violation]:
    """A row on a slot of this history that only a booking said not to have been made can have made."""
    touched = {(each.resource, each.slot) for each in books}
    made = {each.appointment_id for each in books if may_take_effect(each)}
    for row in rows:
        if (row.resource, row.slot) in touched and row.id not in made:
            denied = [each for each in books if _resembles(each, row)]
            text = f"the booking {row.id} is stored, but no caller was told that it is or may be"
            yield _violation(Rule.KNOWN_OUTCOME, text, [row], denied)


def _resembles(book: Operation, row: Row) -> bool:
    same_slot = (book.resource, book.slot) == (row.resource, row.slot)
    return same_slot and (book.key == row.key or (book.key is None and book.patient == row.patient))


def _twins(rows: Iterable[Row], keys: Iterable[Hashable]) -> Iterator[list[Row]]:
    groups: dict[Hashable, list[Row]] = defaultdict(list)
    for row, key in zip(rows, keys, strict=True):
        groups[key].append(row)
    return (group for group in groups.values() if len(group) > 1)


def _violation(rule: Rule, text: str, rows: Sequence[Row], books: Iterable[Operation]) -> Violation:
    """A violation of rows, with the first operation about each where one is known."""
    about: dict[str | None, Operation] = {}
    for book in sorted(books, key=lambda each: (not each.ok, each.invoked)):
        about.setdefault(book.appointment_id, book)
    ids = [row.id for row in rows]
    shown = [book for id, book in about.items() if id in ids or rule is Rule.KNOWN_OUTCOME]
    names = ", ".join(f"{row.id} of {row.patient} (key {row.key}, {row.status})" for row in rows)
    return Violation(rule, rows[0].resource, rows[0].slot, f"{text}: {names}", tuple(shown))
