"""The store's reading of a batch that MongoDB executed in part: one outcome for every booking."""

from typing import Any

import pytest

from shared.stores.mongo.bulk import WriteResult, read_errors

WRITE_CONCERN_FAILED = {"code": 64, "errmsg": "waiting for replication timed out"}


def details(*codes: int | None, concern_failed: bool = False) -> dict[str, Any]:
    """Return pymongo's details of a batch, from an error code per row, or None for an inserted row."""
    errors = [{"index": index, "code": code} for index, code in enumerate(codes) if code is not None]
    concern_errors = [WRITE_CONCERN_FAILED] if concern_failed else []
    return {
        "writeErrors": errors,
        "writeConcernErrors": concern_errors,
        "nInserted": codes.count(None),
        "nMatched": 0,
        "nUpserted": 0,
    }


def test_booking_of_a_batch_has_its_own_outcome() -> None:
    """An inserted booking is booked, whatever happened to the other bookings of its batch."""
    assert read_errors(details(None, 11000, None, 11000), 4) == [
        WriteResult.DONE,
        WriteResult.DUPLICATE,
        WriteResult.DONE,
        WriteResult.DUPLICATE,
    ]


@pytest.mark.parametrize("code", [50, 91, 112, 189, 10107, 11602, 13388])
def test_error_other_than_a_duplicate_key_leaves_the_outcome_unknown(code: int) -> None:
    """Only a duplicate key is a refusal; after any other error the booking may have been made."""
    assert read_errors(details(code, 11000, None), 3) == [
        WriteResult.UNKNOWN,
        WriteResult.DUPLICATE,
        WriteResult.DONE,
    ]


def test_write_refused_by_the_validator_is_not_executed() -> None:
    """The collection's validator refuses claims of another grid, and nothing is written."""
    assert read_errors(details(None, 121), 2) == [WriteResult.DONE, WriteResult.NOT_EXECUTED]
    assert read_errors(details(121, concern_failed=True), 1) == [WriteResult.UNKNOWN]


def test_batch_without_a_majority_is_unknown() -> None:
    """Without a majority, neither the inserted bookings nor the duplicates' winners are durable."""
    partial = details(None, 11000, 112, None, concern_failed=True)
    assert read_errors(partial, 4) == [WriteResult.UNKNOWN] * 4
    assert read_errors(details(11000, concern_failed=True), 1) == [WriteResult.UNKNOWN]


def test_row_without_a_result_is_not_booked() -> None:
    """If MongoDB reports fewer rows than were sent, the other rows do not count as written."""
    assert read_errors(details(None, 11000, 112), 4) == [
        WriteResult.UNSURE,
        WriteResult.DUPLICATE,
        WriteResult.UNKNOWN,
        WriteResult.UNSURE,
    ]
