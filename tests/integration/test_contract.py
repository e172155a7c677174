"""The contract of booking, holding and reading: one table of cases, over HTTP and over NATS."""

import json
import re
from datetime import UTC, datetime
from random import randrange
from typing import Any
from uuid import uuid4

import pytest

from tests.callers import Caller
from tests.slots import fresh, fresh_site

BOOKED = {"error": "Slot already booked"}
HELD = {"error": "Slot is currently held by another user"}
MISSING = {"error": "Missing slot or patientName"}
ISO_MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def test_a_free_slot_is_booked(caller: Caller) -> None:
    """A booking of a free slot gets 201, with exactly the fields of the contract."""
    body = fresh("José")
    answer = await caller.book(body)
    assert answer.status == 201
    assert set(answer.body) == {"message", "appointment"}
    assert answer.body["message"] == "Booking confirmed"
    appointment = answer.body["appointment"]
    assert UUID.fullmatch(appointment.pop("id"))
    assert ISO_MILLISECONDS.fullmatch(appointment.pop("createdAt"))
    assert appointment == {
        "site": body["site"],
        "resources": ["default"],
        "slot": "2031-05-04T09:00:00.000Z",
        "durationMinutes": 5,
        "patientName": "José",
        "status": "booked",
        "version": 1,
    }


async def test_a_booked_slot_is_refused(caller: Caller) -> None:
    """The second booking of a slot gets 409 and the exact sentence, whoever asks."""
    body = fresh()
    assert (await caller.book(body)).status == 201
    for name in ("Grace Hopper", "Ada Lovelace"):
        answer = await caller.book({**body, "patientName": name})
        assert (answer.status, answer.body) == (409, BOOKED)


@pytest.mark.parametrize(
    "spelling", ["2031-05-04T11:00:00+02:00", "2031-05-04T09:00:00.000Z", "2031-05-04T03:30:00-05:30"]
)
async def test_equal_instants_are_one_slot(caller: Caller, spelling: str) -> None:
    """However the instant is spelled, it is the same slot."""
    body = fresh()
    assert (await caller.book(body)).status == 201
    assert (await caller.book({**body, "slot": spelling})).body == BOOKED


async def test_resources_do_not_touch_each_other(caller: Caller) -> None:
    """The same instant of another resource, or of another site, is another slot."""
    body = fresh(resources=["room.1"])
    for other in (body, {**body, "resources": ["room.2"]}, {**body, "site": fresh_site()}):
        assert (await caller.book(other)).status == 201


@pytest.mark.parametrize("named_first", [True, False])
async def test_without_a_site_and_resources_it_is_the_default(caller: Caller, named_first: bool) -> None:
    """A request that names no site and no resources is for `default` of both, named or not."""
    instant = datetime.fromtimestamp(randrange(2**31), UTC)
    named = fresh(slot=instant.isoformat(), site="default", resources=["default"])
    unnamed = {field: named[field] for field in ("slot", "patientName")}
    first, second = (named, unnamed) if named_first else (unnamed, named)
    booked = await caller.book(first)
    assert booked.status == 201
    assert booked.body["appointment"]["site"] == "default"
    assert booked.body["appointment"]["resources"] == ["default"]
    for ask in (caller.book, caller.hold):
        assert (await ask({**second, "patientName": "Grace"})).body == BOOKED


async def test_past_slots_are_accepted(caller: Caller) -> None:
    """A booking may be entered after the fact."""
    assert (await caller.book(fresh(slot="1999-12-31T23:59:59.999Z"))).status == 201


async def test_an_appointment_is_read_back(caller: Caller) -> None:
    """What 201 said is what the id answers afterwards, in either case of its letters."""
    appointment = (await caller.book(fresh())).body["appointment"]
    for id in (appointment["id"], appointment["id"].upper()):
        answer = await caller.get(id)
        assert (answer.status, answer.body) == (200, {"appointment": appointment})


@pytest.mark.parametrize("id", ["6f1c1a52-9d5e-4b7e-8a43-0c6b3a8c7d10", "nothing", "null", "%24ne"])
async def test_an_unknown_appointment_is_not_found(caller: Caller, id: str) -> None:
    """An id that no booking has gets 404."""
    answer = await caller.get(id)
    assert (answer.status, answer.body) == (404, {"error": "No such appointment"})


async def test_a_free_slot_is_held(caller: Caller) -> None:
    """A hold of a free slot gets 200, with a token and the time it expires."""
    body = fresh()
    answer = await caller.hold(body)
    assert answer.status == 200
    assert answer.body["message"] == "Slot held for 5 minutes"
    hold = answer.body["hold"]
    assert UUID.fullmatch(hold.pop("token"))
    assert ISO_MILLISECONDS.fullmatch(hold.pop("expiresAt"))
    assert hold == {
        "site": body["site"],
        "resources": ["default"],
        "slot": "2031-05-04T09:00:00.000Z",
        "durationMinutes": 5,
    }


async def test_a_held_slot_is_refused_to_others(caller: Caller) -> None:
    """While a slot is held, nobody else holds or books it."""
    body = fresh("Ada")
    assert (await caller.hold(body)).status == 200
    for ask in (caller.hold, caller.book):
        answer = await ask({**body, "patientName": "Grace"})
        assert (answer.status, answer.body) == (409, HELD)


async def test_a_hold_with_another_token_is_refused(caller: Caller) -> None:
    """A second hold is another hold, even by the same name: only its token extends it."""
    body = fresh("Ada")
    assert (await caller.hold(body)).status == 200
    assert (await caller.hold({**body, "holdToken": str(uuid4())})).body == HELD


async def test_a_hold_is_extended_by_its_token(caller: Caller) -> None:
    """Placing a hold again with its token is the same hold, and safe to repeat."""
    body = fresh("Ada", holdToken=str(uuid4()))
    first, second = await caller.hold(body), await caller.hold(body)
    assert (first.status, second.status) == (200, 200)
    assert first.body["hold"]["token"] == second.body["hold"]["token"] == body["holdToken"]
    assert first.body["hold"]["expiresAt"] <= second.body["hold"]["expiresAt"]


async def test_the_holder_books_by_token(caller: Caller) -> None:
    """A hold's token books its slot, whatever name is given."""
    body = fresh("Ada")
    token = (await caller.hold(body)).body["hold"]["token"]
    assert (await caller.book({**body, "patientName": "A. Lovelace", "holdToken": token})).status == 201


async def test_a_token_is_one_in_either_case(caller: Caller) -> None:
    """A UUID may be written in upper or lower case: the hold is extended, and booked, by either."""
    body = fresh("Ada", holdToken=str(uuid4()))
    other = {**body, "holdToken": body["holdToken"].upper()}
    assert [(await caller.hold(each)).status for each in (body, other)] == [200, 200]
    assert (await caller.book({**other, "patientName": "A. Lovelace"})).status == 201


async def test_the_holder_books_by_name(caller: Caller) -> None:
    """A hold is its patient's: the same name books without the token."""
    body = fresh("Ada")
    assert (await caller.hold(body)).status == 200
    assert (await caller.book({**body, "patientName": " Ada "})).status == 201


@pytest.mark.parametrize(
    "pasted",
    [
        "Ada\u00a0Lovelace",
        "Ada  Lovelace",
        "\ufeffAda Lovelace",
        "Ada\u2003Lovelace\u200b",
        "\u3000Ada Lovelace\n",
    ],
    ids=ascii,
)
async def test_a_pasted_name_is_the_same_patient(caller: Caller, pasted: str) -> None:
    """White space of another kind, and what nobody can see, does not keep a patient from the own hold."""
    body = fresh("Ada Lovelace")
    assert (await caller.hold(body)).status == 200
    booked = await caller.book({**body, "patientName": pasted})
    assert booked.status == 201
    assert booked.body["appointment"]["patientName"] == "Ada Lovelace"


@pytest.mark.parametrize("use", ["book", "hold"])
async def test_a_repeated_field_is_refused(caller: Caller, use: str) -> None:
    """A name that stands twice in the body is refused: nobody could tell which of its values is meant."""
    for body, sentence in (
        ({"slot": "2031-05-04T10:00Z"}, "Duplicate field slot"),
        ({"resources": None}, "Duplicate field resources"),
    ):
        repeated = json.dumps(fresh(resources=["a"]))[:-1] + "," + json.dumps(body)[1:]
        answer = await getattr(caller, use)(repeated.encode())
        assert (answer.status, answer.body) == (400, {"error": sentence})


async def test_a_wrong_token_books_nothing_that_is_held(caller: Caller) -> None:
    """Another's token is no key to a held slot."""
    body = fresh("Ada")
    assert (await caller.hold(body)).status == 200
    assert (await caller.book({**body, "patientName": "Grace", "holdToken": str(uuid4())})).body == HELD


async def test_a_stale_token_books_a_free_slot(caller: Caller) -> None:
    """Where nothing is held, a token that is no longer known does no harm."""
    assert (await caller.book(fresh(holdToken=str(uuid4())))).status == 201


async def test_a_booked_slot_cannot_be_held(caller: Caller) -> None:
    """Booked wins over held, for its own patient too."""
    body = fresh("Ada")
    assert (await caller.book(body)).status == 201
    for name in ("Ada", "Grace"):
        assert (await caller.hold({**body, "patientName": name})).body == BOOKED


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
async def test_what_is_no_time_is_refused(caller: Caller, use: str, slot: object) -> None:
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
async def test_a_bad_field_is_named(caller: Caller, use: str, field: str, value: Any) -> None:
    """Any other bad field gets 400 and a sentence that begins with its name."""
    answer = await getattr(caller, use)(fresh(**{field: value}))
    assert answer.status == 400
    assert answer.error.startswith(field)
    assert set(answer.body) == {"error"}


@pytest.mark.parametrize("use", ["book", "hold"])
@pytest.mark.parametrize(
    "change", [{"slot": ""}, {"slot": None}, {"patientName": " \t "}, {"patientName": None}], ids=str
)
async def test_a_missing_slot_or_name_is_said_to_be_missing(
    caller: Caller, use: str, change: dict[str, Any]
) -> None:
    """Absent, null and empty are the same."""
    absent = {field: value for field, value in fresh().items() if field not in change}
    for body in ({**fresh(), **change}, absent, {}):
        answer = await getattr(caller, use)(body)
        assert (answer.status, answer.body) == (400, MISSING)


@pytest.mark.parametrize("use", ["book", "hold"])
async def test_unknown_fields_are_refused(caller: Caller, use: str) -> None:
    """A misspelled field is an error, not a default."""
    answer = await getattr(caller, use)(fresh(patient_name="Zebra"))
    assert (answer.status, answer.body) == (400, {"error": "Unknown field patient_name"})


@pytest.mark.parametrize("use", ["book", "hold"])
@pytest.mark.parametrize(
    "body", [[], "text", 7, b"{", b"\xff", b"[" * 9000, b"null"], ids=lambda b: repr(b)[:20]
)
async def test_what_is_no_object_is_refused(caller: Caller, use: str, body: object) -> None:
    """The body is a JSON object, in UTF-8."""
    answer = await getattr(caller, use)(body)
    assert answer.status == 400
    assert "JSON" in answer.error


@pytest.mark.parametrize("use", ["book", "hold"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])
async def test_a_body_in_another_encoding_is_refused(caller: Caller, use: str, encoding: str) -> None:
    """JSON is UTF-8, without a byte order mark: what else could be guessed is not."""
    body = json.dumps(fresh("José"), ensure_ascii=False).encode(encoding)
    answer = await getattr(caller, use)(body)
    assert (answer.status, answer.error) == (400, "Body is not valid JSON")


@pytest.mark.parametrize(("use", "status"), [("book", 201), ("hold", 200)])
async def test_a_large_request_is_refused(caller: Caller, use: str, status: int) -> None:
    """A request of up to 16 KiB is read; one byte more gets 413."""
    largest = json.dumps(fresh()).encode().ljust(16 * 1024)
    answer = await getattr(caller, use)(largest + b" ")
    assert (answer.status, answer.body) == (413, {"error": "Request is larger than 16 KiB"})
    assert (await getattr(caller, use)(largest)).status == status
