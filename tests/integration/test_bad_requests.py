"""Requests that are refused as invalid: one table of cases, over HTTP and over NATS."""

import json
from typing import Any

import pytest

from tests.callers import Caller
from tests.slots import fresh

MISSING = {"error": "Missing slot or patientName"}


@pytest.mark.parametrize("use", ["book", "hold"])
async def test_duplicate_field_is_refused(caller: Caller, use: str) -> None:
    """A body with a duplicate field is refused, because its value is ambiguous."""
    for body, sentence in (
        ({"slot": "2031-05-04T10:00Z"}, "Duplicate field slot"),
        ({"resources": None}, "Duplicate field resources"),
    ):
        repeated = json.dumps(fresh(resources=["a"]))[:-1] + "," + json.dumps(body)[1:]
        answer = await getattr(caller, use)(repeated.encode())
        assert (answer.status, answer.body) == (400, {"error": sentence})


BAD_TIMES: list[Any] = [
    "2025-12-05T10:00:00",
    "1733392800",
    "Dec 5 2025",
    "2025-02-30T10:00:00Z",
    "2025-12-05T10:00:00.0001Z",
    1733392800,
    True,
    {"$ne": None},
    ["2025-12-05T10:00:00Z"],
]


@pytest.mark.parametrize("use", ["book", "hold"])
@pytest.mark.parametrize("slot", BAD_TIMES, ids=str)
async def test_invalid_slot_is_refused(caller: Caller, use: str, slot: object) -> None:
    """A slot is a strict ISO 8601 time with an offset; the sentence names the field."""
    answer = await getattr(caller, use)(fresh(slot=slot))
    assert answer.status == 400
    assert answer.error.startswith("slot must")


@pytest.mark.parametrize("use", ["book", "hold"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("patientName", {"$ne": None}),
        ("patientName", ["Ada"]),
        ("patientName", 7),
        ("patientName", "x" * 201),
        ("patientName", "A\x00da"),
        ("patientName", "A\u0085da"),
        ("patientName", "Ada\u0085"),
        ("patientName", "\x1cAda"),
        ("patientName", "\u200b"),
        ("patientName", "\u2800\u3164\U000e0041"),
        ("patientName", "\ud800"),
        ("patientName", "A\u202eda"),
        ("patientName", "A\u2066da"),
        ("site", {"$ne": None}),
        ("site", ["a"]),
        ("site", ""),
        ("site", "a" * 65),
        ("site", "a b"),
        ("site", "a.b"),
        ("site", "a{b}"),
        ("site", "a\n"),
        ("resources", {"$ne": None}),
        ("resources", "a"),
        ("resources", []),
        ("resources", [""]),
        ("resources", ["a" * 65]),
        ("resources", ["a b"]),
        ("resources", ["a/b"]),
        ("resources", ["a\n"]),
        ("resources", ["a", 7]),
        ("resources", ["a", ["b"]]),
        ("resources", ["a", "b", "a"]),
        ("resources", [f"r{n}" for n in range(9)]),
        ("durationMinutes", 0),
        ("durationMinutes", 1441),
        ("durationMinutes", 7.5),
        ("durationMinutes", "15"),
        ("durationMinutes", {"$gt": 0}),
        ("holdToken", "mine"),
        ("holdToken", {"$ne": None}),
        ("holdToken", ["6f1c1a52-9d5e-4b7e-8a43-0c6b3a8c7d10"]),
    ],
    ids=repr,
)
async def test_invalid_field_is_named(caller: Caller, use: str, field: str, value: Any) -> None:
    """An invalid field gets 400 with a sentence that begins with its name."""
    answer = await getattr(caller, use)(fresh(**{field: value}))
    assert answer.status == 400
    assert answer.error.startswith(field)
    assert set(answer.body) == {"error"}


@pytest.mark.parametrize("use", ["book", "hold"])
@pytest.mark.parametrize(
    "change", [{"slot": ""}, {"slot": None}, {"patientName": " \t "}, {"patientName": None}], ids=str
)
async def test_missing_slot_or_name_is_refused(caller: Caller, use: str, change: dict[str, Any]) -> None:
    """Absent, null and empty get the same 400."""
    absent = {field: value for field, value in fresh().items() if field not in change}
    for body in ({**fresh(), **change}, absent, {}):
        answer = await getattr(caller, use)(body)
        assert (answer.status, answer.body) == (400, MISSING)


@pytest.mark.parametrize("use", ["book", "hold"])
async def test_unknown_field_is_refused(caller: Caller, use: str) -> None:
    """A misspelled field gets 400; it is not ignored."""
    answer = await getattr(caller, use)(fresh(patient_name="Zebra"))
    assert (answer.status, answer.body) == (400, {"error": "Unknown field patient_name"})


@pytest.mark.parametrize("use", ["book", "hold"])
@pytest.mark.parametrize(
    "body", [[], "text", 7, b"{", b"\xff", b"[" * 9000, b"null"], ids=lambda b: repr(b)[:20]
)
async def test_body_that_is_no_object_is_refused(caller: Caller, use: str, body: object) -> None:
    """The body is a JSON object, in UTF-8."""
    answer = await getattr(caller, use)(body)
    assert answer.status == 400
    assert "JSON" in answer.error


@pytest.mark.parametrize("use", ["book", "hold"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])
async def test_body_in_another_encoding_is_refused(caller: Caller, use: str, encoding: str) -> None:
    """JSON is UTF-8 without a byte order mark; no other encoding is guessed."""
    body = json.dumps(fresh("José"), ensure_ascii=False).encode(encoding)
    answer = await getattr(caller, use)(body)
    assert (answer.status, answer.error) == (400, "Body is not valid JSON")


@pytest.mark.parametrize(("use", "status"), [("book", 201), ("hold", 200)])
async def test_large_request_is_refused(caller: Caller, use: str, status: int) -> None:
    """A request of 16 KiB is read; one byte more gets 413."""
    largest = json.dumps(fresh()).encode().ljust(16 * 1024)
    answer = await getattr(caller, use)(largest + b" ")
    assert (answer.status, answer.body) == (413, {"error": "Request is larger than 16 KiB"})
    assert (await getattr(caller, use)(largest)).status == status
