"""An erased booking, as values: what it keeps, and what callers see of it."""

import json

import pytest

from shared.contract.commands import BookAppointment
from shared.domain.booking import PERSONAL, Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.domain.history import MOST_ENTRIES
from tests.slots import fresh


def booking() -> Booking:
    command = BookAppointment.model_validate(
        fresh("Ada Lovelace", contact="ada@example.org", idempotencyKey="key")
    )
    slot_range = Grid(5).slot_range(command)
    return Booking.new(command, slot_range, Claims.of(command, slot_range), Digests(b"secret"), "web")


def test_erasure_blanks_the_person_and_nothing_else() -> None:
    """Only the personal fields, the version, its time and the history differ; the key stays."""
    before = booking()
    after = before.erased("command:erase")
    assert before.is_erased is False
    assert after.is_erased is True
    old, new = before.to_document(), after.to_document()
    changed = {field for field, value in old.items() if value != new.get(field)}
    assert changed - {"updatedAt"} == {*PERSONAL.values(), "version", "history"}
    assert Booking.from_document(new) == after
    assert "ada" not in str(new).lower()


def test_json_of_an_erased_booking_is_that_of_its_model() -> None:
    """The two encodings of an appointment agree, and leave the name out."""
    erased = booking().erased()
    as_model = erased.to_appointment().model_dump_json(exclude_none=True)
    assert json.loads(erased.to_json()) == json.loads(as_model)
    assert "patientName" not in as_model
    assert "contact" not in as_model
    whole = booking().amended(None, "missed", "mark")
    assert json.loads(whole.to_json()) == whole.to_appointment().model_dump(mode="json", exclude_none=True)
    assert '"contact":"ada@example.org"' in whole.to_json()


def test_row_of_the_release_before_has_no_contact() -> None:
    """A row without the field is a booking without a contact; another type is not a row of this service."""
    row = booking().to_document()
    assert Booking.from_document({**row, "contact": None}).contact is None
    del row["contact"]
    assert Booking.from_document(row).to_document() == row
    with pytest.raises(TypeError, match="contact"):
        Booking.from_document({**row, "contact": 7})


def test_version_before_a_cancel_is_found_behind_later_changes() -> None:
    """The version that a cancel changed is known after an erasure, and in a history that was cut."""
    cancelled = booking().cancelled("desk")
    assert [b.version_before_cancel() for b in (booking(), cancelled, cancelled.erased())] == [1, 1, 1]
    many = cancelled
    for _ in range(MOST_ENTRIES - 2):
        many = many.erased()
    assert many.version_before_cancel() == 1
