"""What the store makes of a batch that MongoDB carried out in part: one outcome for each booking."""

from typing import Any

import pytest

from shared.stores.mongo.writes import WriteResult, read_errors

WRITE_CONCERN_FAILED = {"code": 64, "errmsg": "waiting for replication timed out"}


def details(*codes: int | None, concern_failed: bool = False) -> dict[str, Any]:
    """What pymongo tells of a batch: an error code each, None for what was inserted."""
    errors = [{"index": index, "code": code} for index, code in enumerate(codes) if code is not None]
    concern_errors = [WRITE_CONCERN_FAILED] if concern_failed else []
    return {
        "writeErrors": errors,
        "writeConcernErrors": concern_errors,
        "nInserted": codes.count(None),
        "nMatched": 0,
        "nUpserted": 0,
    }


def test_each_booking_of_a_batch_has_its_own_outcome() -> None:
    """A booking that MongoDB inserted is booked, whatever became of the others in its batch."""
    assert read_errors(details(None, 11000, None, 11000), 4) == [
        WriteResult.DONE,
        WriteResult.DUPLICATE,
        WriteResult.DONE,
        WriteResult.DUPLICATE,
    ]


@pytest.mark.parametrize("code", [50, 91, 112, 189, 10107, 11602, 13388])
def test_any_error_but_a_duplicate_key_leaves_the_outcome_unknown(code: int) -> None:
    """Only a duplicate key is a refusal; after any other error the booking may have been made."""
    assert read_errors(details(code, 11000, None), 3) == [
        WriteResult.UNKNOWN,
        WriteResult.DUPLICATE,
        WriteResult.DONE,
    ]


def test_a_write_that_the_validator_refuses_is_not_executed() -> None:
    """A write of claims of another grid is refused by the collection's validator: it was not done."""
    assert read_errors(details(None, 121), 2) == [WriteResult.DONE, WriteResult.NOT_EXECUTED]
    assert read_errors(details(121, concern_failed=True), 1) == [WriteResult.UNKNOWN]


def test_without_a_majority_nothing_of_a_batch_is_known() -> None:
    """Where no majority confirms, neither bookings nor the winners of duplicates are sure to stay."""
    told = details(None, 11000, 112, None, concern_failed=True)
    assert read_errors(told, 4) == [WriteResult.UNKNOWN] * 4
    assert read_errors(details(11000, concern_failed=True), 1) == [WriteResult.UNKNOWN]


def test_what_mongodb_says_nothing_of_is_not_booked() -> None:
    """Where fewer were written or refused than were sent, none of the others is taken for written."""
    assert read_errors(details(None, 11000, 112), 4) == [
        WriteResult.UNSURE,
        WriteResult.DUPLICATE,
        WriteResult.UNKNOWN,
        WriteResult.UNSURE,
    ]
