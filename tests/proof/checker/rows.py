"""The final rows agree with the answers, and contain no booking without a request."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TypeVar

from tests.proof.checker.model import may_book, may_take_effect, refused_as_cancelled
from tests.proof.checker.verdict import Rule, Violation, violation, where
from tests.proof.faults.history import Operation, Row
from tests.proof.faults.places import Claim

KeyT = TypeVar("KeyT")


def judge_rows(operations: Sequence[Operation], rows: Sequence[Row]) -> Iterator[Violation]:
    books = [each for each in operations if each.kind == "book"]
    cancelled = {
        each.appointment_id for each in operations if each.kind == "cancel" and may_take_effect(each)
    }
    yield from _lost(books, rows, cancelled)
    yield from _unexplained(books, rows)
    active = [row for row in rows if row.status == "booked"]
    for (_, resource, _), duplicates in _duplicates((claim, row) for row in active for claim in row.claims):
        yield _violation(
            Rule.ONE_WINNER, f"{len(duplicates)} bookings own {resource} then", duplicates, books
        )
    for (_, key), duplicates in _duplicates(((row.site, row.key), row) for row in rows):
        yield _violation(Rule.ONE_KEY, f"{len(duplicates)} bookings have the key {key}", duplicates, books)


def _lost(
    books: Iterable[Operation], rows: Iterable[Row], cancelled: Collection[str | None]
) -> Iterator[Violation]:
    stored = {row.id: row for row in rows}
    confirmed = {each.appointment_id: each for each in books if each.ok or refused_as_cancelled(each)}
    for id, book in confirmed.items():
        row = stored.get(id or "")
        if row is None:
            yield violation(Rule.DURABLE, f"the booking {id} was confirmed and is gone", book)
        elif wrong := _differences(book, row, id in cancelled):
            text = f"the booking {id} was confirmed and is stored with another {wrong}"
            yield violation(Rule.DURABLE, text, book)


def _differences(book: Operation, row: Row, may_be_cancelled: bool) -> str:
    """Return the fields that differ from the request. The current place is judged with the moves."""
    names = ("site", "resources", "slot", "minutes", "service")
    wrong = [name for name in names if getattr(book.place, name) != getattr(row.first, name)]
    wrong += ["patient"] if row.patient not in (book.patient, None) else []  # the search judges its absence
    wrong += ["key"] if book.key not in (None, row.key) else []
    wrong += ["status"] if row.status not in ("booked", "cancelled" if may_be_cancelled else "booked") else []
    return ", ".join(wrong)


def _unexplained(books: Sequence[Operation], rows: Iterable[Row]) -> Iterator[Violation]:
    """Yield rows on this history's claims that no attempt with a possible effect can have made."""
    touched = frozenset[Claim]().union(*(each.claims for each in books))
    made = {each.appointment_id for each in books if may_book(each)}
    for row in rows:
        if row.first.claims & touched and row.id not in made:
            denied = [each for each in books if _resembles(each, row)]
            text = f"the booking {row.id} is stored, but every caller's answer excludes it"
            yield _violation(Rule.KNOWN_OUTCOME, text, [row], denied)


def _resembles(book: Operation, row: Row) -> bool:
    return book.claims == row.first.claims and (
        book.key == row.key or (book.key is None and book.patient == row.patient)
    )


def _duplicates(rows: Iterable[tuple[KeyT, Row]]) -> Iterator[tuple[KeyT, list[Row]]]:
    groups: dict[KeyT, list[Row]] = defaultdict(list)
    for key, row in rows:
        groups[key].append(row)
    return ((key, group) for key, group in groups.items() if len(group) > 1)


def _violation(rule: Rule, text: str, rows: Sequence[Row], books: Iterable[Operation]) -> Violation:
    """Build a violation about rows, with the first known operation about each."""
    about: dict[str | None, Operation] = {}
    for book in sorted(books, key=lambda each: (not each.ok, each.invoked)):
        about.setdefault(book.appointment_id, book)
    ids = [row.id for row in rows]
    shown = [book for id, book in about.items() if id in ids or rule is Rule.KNOWN_OUTCOME]
    names = ", ".join(f"{row.id} of {row.patient} (key {row.key}, {row.status})" for row in rows)
    return Violation(rule, where(rows[0]), rows[0].slot, f"{text}: {names}", tuple(shown))
