"""What the store makes of a batch that MongoDB carried out in part: one outcome for each booking."""

from typing import Any

import pytest

from shared.stores.mongo.bookings import Inserted, _read_bulk_errors

WRITE_CONCERN_FAILED = {"code": 64, "errmsg": "waiting for replication timed out"}


def details(*codes: int | None, concern_failed: bool = False) -> dict[str, Any]:
    """What pymongo tells of a batch: an error code each, None for what was inserted."""
    errors = [{"index": index, "code": code} for index, code in enumerate(codes) if code is not None]
    concern_errors = [WRITE_CONCERN_FAILED] if concern_failed else []
    return {
        "writeErrors": errors,
        "writeConcernErrors": concern_errors,
        "nInserted": codes.count(None),
    }


def test_each_booking_of_a_batch_has_its_own_outcome() -> None:
    """A booking that MongoDB inserted is booked, whatever became of the others in its batch."""
    assert _read_bulk_errors(details(None, 11000, None, 11000), 4) == [
        Inserted.BOOKED,
        Inserted.DUPLICATE,
        Inserted.BOOKED,
        Inserted.DUPLICATE,
    ]


@pytest.mark.parametrize("code", [50, 91, 112, 189, 10107, 11602, 13388])
def test_any_error_but_a_duplicate_key_leaves_the_outcome_unknown(code: int) -> None:
    """Only a duplicate key is a refusal; after any other error the booking may have been made."""
    assert _read_bulk_errors(details(code, 11000, None), 3) == [
        Inserted.UNKNOWN,
        Inserted.DUPLICATE,
        Inserted.BOOKED,
    ]


def test_without_a_majority_nothing_of_a_batch_is_known() -> None:
    """Where no majority confirms, neither bookings nor the winners of duplicates are sure to stay."""
    told = details(None, 11000, 112, None, concern_failed=True)
    assert _read_bulk_errors(told, 4) == [Inserted.UNKNOWN] * 4
    assert _read_bulk_errors(details(11000, concern_failed=True), 1) == [Inserted.UNKNOWN]


def test_what_mongodb_says_nothing_of_is_not_booked() -> None:
    """Where fewer were inserted or refused than were sent, nothing of the batch is known."""
    assert _read_bulk_errors(details(None, 11000), 3) == [Inserted.UNKNOWN] * 3
