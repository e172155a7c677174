"""Find the booking that each operation is about, also if its answer was lost."""

from collections.abc import Sequence
from dataclasses import replace

from tests.proof.checker.model import refused_as_cancelled
from tests.proof.faults.history import History, Operation, Row
from tests.proof.faults.places import Place

RequestKey = tuple[Place, str | None, str | None]
"""A place, an idempotency key, and a patient, who is not known any more once the name is erased."""


def identify(history: History) -> tuple[Operation, ...]:
    """Return the operations, each book with the id of the booking that it made or would have made.

    If no answer has the id, a row provides it. A booking without answer and row gets an id of its own.
    """
    answered = [
        each
        for each in history.operations
        if each.kind == "book" and (each.ok or refused_as_cancelled(each)) and each.appointment_id
    ]
    known = {_made_by(row): row.id for row in history.rows}
    known |= {_request_key(each): each.appointment_id for each in reversed(answered) if each.appointment_id}
    unclaimed = _unclaimed(history, answered)

    def booking_of(operation: Operation) -> str:
        if (operation.ok or refused_as_cancelled(operation)) and operation.appointment_id:
            return operation.appointment_id
        if operation.key is not None:
            return known.get(_request_key(operation), f"?{operation.key} of {operation.patient}")
        if operation.unknown:
            return unclaimed.get(_request_key(operation), f"?{operation.number}")
        return f"?{operation.number}"

    return tuple(
        replace(each, appointment_id=booking_of(each)) if each.kind == "book" else each
        for each in history.operations
    )


def _unclaimed(history: History, answered: Sequence[Operation]) -> dict[RequestKey, str]:
    """Return the rows that only a book without a key and with a lost answer can have made."""
    told = {each.appointment_id for each in answered}
    sent = {(each.site, each.key) for each in history.operations}
    return {
        (row.first, None, row.patient): row.id
        for row in history.rows
        if row.id not in told and (row.site, row.key) not in sent
    }


def _request_key(book: Operation) -> RequestKey:
    return book.place, book.key, book.patient


def _made_by(row: Row) -> RequestKey:
    return row.first, row.key, row.patient
