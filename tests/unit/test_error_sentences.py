"""Error sentences name the field, and do not repeat its value."""

import json

import pytest

from shared.contract.commands import BookAppointment, GetAppointment
from shared.contract.errors import InvalidRequest
from shared.contract.parsing import parse_command, read_key

SLOT = "2025-12-05T10:00:00Z"
CANARY = "Zebra"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "Missing slot or patientName"),
        ({"slot": SLOT}, "Missing slot or patientName"),
        ({"slot": "", "patientName": CANARY}, "Missing slot or patientName"),
        ({"slot": SLOT, "patientName": "  "}, "Missing slot or patientName"),
        ({"slot": None, "patientName": CANARY}, "Missing slot or patientName"),
        ({"slot": CANARY, "patientName": CANARY}, "slot must be an ISO 8601 time"),
        ({"slot": {"$ne": None}, "patientName": CANARY}, "slot must be a string"),
        ({"slot": SLOT, "patientName": [CANARY]}, "patientName must be a string"),
        ({"slot": SLOT, "patientName": CANARY, "site": "a b"}, "site must be 1 to 64"),
        ({"slot": SLOT, "patientName": CANARY, "resources": {"$ne": None}}, "resources must be"),
        ({"slot": SLOT, "patientName": CANARY, "durationMinutes": True}, "durationMinutes must be"),
        ({"slot": SLOT, "patientName": CANARY, "holdToken": CANARY}, "holdToken must be a UUID"),
        ({"slot": SLOT, "patientName": CANARY, "idempotencyKey": "\n"}, "idempotencyKey must be"),
        ({"slot": SLOT, "patientName": CANARY, "patient_name": CANARY}, "Unknown field patient_name"),
        ({"slot": SLOT, "patientName": CANARY, f"{CANARY} Smith": 1}, "Unknown field"),
        ([], "Body must be a JSON object"),
        ("Zebra", "Body must be a JSON object"),
    ],
)
def test_sentence_names_the_field_and_not_its_value(body: object, sentence: str) -> None:
    """An invalid body gets one sentence that begins with the field, without the sent value."""
    with pytest.raises(InvalidRequest) as caught:
        parse_command(BookAppointment, json.dumps(body).encode())
    assert caught.value.text.startswith(sentence)
    assert CANARY not in caught.value.text


BODY = json.dumps({"slot": SLOT, "patientName": CANARY})


@pytest.mark.parametrize(
    "data",
    [
        *(b"{", b"\xff\xfe\xfd", b"[" * 9000, b"1" * 9000, b"{'a': 1}"),
        *(BODY.encode(encoding) for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-32-be")),
    ],
)
def test_invalid_json_is_refused(data: bytes) -> None:
    """Broken, wrongly encoded and deeply nested JSON, and endless numbers, are refused as not JSON."""
    with pytest.raises(InvalidRequest, match="JSON"):
        parse_command(BookAppointment, data)


def test_missing_field_is_named() -> None:
    """A command without its required field gets a sentence with that field."""
    with pytest.raises(InvalidRequest, match="^Missing id$"):
        parse_command(GetAppointment, b"{}")


@pytest.mark.parametrize("field", [{}, {"idempotencyKey": None}, {"idempotencyKey": "one"}])
def test_key_may_be_sent_beside_the_body(field: dict[str, str | None]) -> None:
    """A key in the header counts as the field, and the field may repeat it."""
    data = json.dumps({"slot": SLOT, "patientName": CANARY, **field}).encode()
    assert parse_command(BookAppointment, data, "one").idempotencyKey == "one"


@pytest.mark.parametrize("blanks", [("", " "), ("  ", ""), ("\t", " \t ")], ids=repr)
@pytest.mark.parametrize("places", ["beside", "body", "both"])
def test_blanks_at_the_ends_of_a_key_are_ignored(blanks: tuple[str, str], places: str) -> None:
    """HTTP servers remove blanks from a header, so a key in a NATS message loses them too."""
    sent = "one two".join(blanks)
    field = {} if places == "beside" else {"idempotencyKey": sent}
    data = json.dumps({"slot": SLOT, "patientName": CANARY, **field}).encode()
    beside = {"beside": sent, "body": None, "both": "one two"}[places]
    assert parse_command(BookAppointment, data, beside).idempotencyKey == "one two"
    assert read_key(sent) == "one two"


@pytest.mark.parametrize("key", [" ", "\t", "one\ntwo", "one\n", "\u00a0one", "\u2003"], ids=repr)
def test_key_of_blanks_or_with_other_white_space_is_refused(key: str) -> None:
    """Only blanks and tabs are removed, and the rest must not be empty."""
    data = json.dumps({"slot": SLOT, "patientName": CANARY, "idempotencyKey": key}).encode()
    with pytest.raises(InvalidRequest, match="^idempotencyKey must be"):
        parse_command(BookAppointment, data)
    with pytest.raises(InvalidRequest, match="^Idempotency-Key must be"):
        read_key(key)


def test_two_different_keys_are_refused() -> None:
    """The worker cannot know which of two keys is meant."""
    data = json.dumps({"slot": SLOT, "patientName": CANARY, "idempotencyKey": CANARY}).encode()
    with pytest.raises(InvalidRequest, match="Idempotency-Key") as caught:
        parse_command(BookAppointment, data, "another")
    assert CANARY not in caught.value.text


def test_invalid_key_beside_the_body_is_refused_by_name() -> None:
    """A key in the header is validated as the field is."""
    with pytest.raises(InvalidRequest, match="^idempotencyKey must be"):
        parse_command(BookAppointment, BODY.encode(), "")
