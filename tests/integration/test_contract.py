"""The contract of booking, holding and reading: one table of cases, over HTTP and over NATS."""

import re
from datetime import UTC, datetime
from random import randrange
from uuid import uuid4

import pytest

from tests.callers import Caller
from tests.slots import fresh, fresh_site

BOOKED = {"error": "Slot already booked"}
HELD = {"error": "Slot is currently held by another user"}
ISO_MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def test_free_slot_is_booked(caller: Caller) -> None:
    """A booking of a free slot gets 201 with exactly the fields of the contract."""
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


async def test_booked_slot_is_refused(caller: Caller) -> None:
    """A second booking of a slot gets 409 with the exact sentence, even for the same name."""
    body = fresh()
    assert (await caller.book(body)).status == 201
    for name in ("Grace Hopper", "Ada Lovelace"):
        answer = await caller.book({**body, "patientName": name})
        assert (answer.status, answer.body) == (409, BOOKED)


@pytest.mark.parametrize(
    "spelling", ["2031-05-04T11:00:00+02:00", "2031-05-04T09:00:00.000Z", "2031-05-04T03:30:00-05:30"]
)
async def test_equal_instants_are_one_slot(caller: Caller, spelling: str) -> None:
    """However an instant is written, it is the same slot."""
    body = fresh()
    assert (await caller.book(body)).status == 201
    assert (await caller.book({**body, "slot": spelling})).body == BOOKED


async def test_resources_and_sites_do_not_conflict(caller: Caller) -> None:
    """The same instant at another resource, or at another site, is another slot."""
    body = fresh(resources=["room.1"])
    for other in (body, {**body, "resources": ["room.2"]}, {**body, "site": fresh_site()}):
        assert (await caller.book(other)).status == 201


@pytest.mark.parametrize("named_first", [True, False])
async def test_site_and_resources_default_to_default(caller: Caller, named_first: bool) -> None:
    """A request without site and resources conflicts with one that names `default` for both."""
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
    """A slot in the past can be booked."""
    assert (await caller.book(fresh(slot="1999-12-31T23:59:59.999Z"))).status == 201


async def test_appointment_is_read_back(caller: Caller) -> None:
    """GET returns the appointment of the 201; the id's letters may be in either case."""
    appointment = (await caller.book(fresh())).body["appointment"]
    for id in (appointment["id"], appointment["id"].upper()):
        answer = await caller.get(id)
        assert (answer.status, answer.body) == (200, {"appointment": appointment})


@pytest.mark.parametrize("id", ["6f1c1a52-9d5e-4b7e-8a43-0c6b3a8c7d10", "nothing", "null", "%24ne"])
async def test_unknown_appointment_is_not_found(caller: Caller, id: str) -> None:
    """An id without a booking gets 404."""
    answer = await caller.get(id)
    assert (answer.status, answer.body) == (404, {"error": "No such appointment"})


async def test_free_slot_is_held(caller: Caller) -> None:
    """A hold of a free slot gets 200 with a token and its expiry."""
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


async def test_held_slot_is_refused_to_other_patients(caller: Caller) -> None:
    """While a slot is held, no other patient can hold or book it."""
    body = fresh("Ada")
    assert (await caller.hold(body)).status == 200
    for ask in (caller.hold, caller.book):
        answer = await ask({**body, "patientName": "Grace"})
        assert (answer.status, answer.body) == (409, HELD)


async def test_hold_with_another_token_is_refused(caller: Caller) -> None:
    """A second hold under the same name is refused: only its token extends a hold."""
    body = fresh("Ada")
    assert (await caller.hold(body)).status == 200
    assert (await caller.hold({**body, "holdToken": str(uuid4())})).body == HELD


async def test_hold_is_extended_by_its_token(caller: Caller) -> None:
    """A hold that is placed again with its token is the same hold, so a retry is safe."""
    body = fresh("Ada", holdToken=str(uuid4()))
    first, second = await caller.hold(body), await caller.hold(body)
    assert (first.status, second.status) == (200, 200)
    assert first.body["hold"]["token"] == second.body["hold"]["token"] == body["holdToken"]
    assert first.body["hold"]["expiresAt"] <= second.body["hold"]["expiresAt"]


async def test_holder_books_by_token(caller: Caller) -> None:
    """A hold token books its slot under any name."""
    body = fresh("Ada")
    token = (await caller.hold(body)).body["hold"]["token"]
    assert (await caller.book({**body, "patientName": "A. Lovelace", "holdToken": token})).status == 201


async def test_hold_token_is_case_insensitive(caller: Caller) -> None:
    """A hold token in upper or lower case extends and books the same hold."""
    body = fresh("Ada", holdToken=str(uuid4()))
    other = {**body, "holdToken": body["holdToken"].upper()}
    assert [(await caller.hold(request)).status for request in (body, other)] == [200, 200]
    assert (await caller.book({**other, "patientName": "A. Lovelace"})).status == 201


async def test_holder_books_by_name(caller: Caller) -> None:
    """A patient books the held slot by name, without the token."""
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
async def test_pasted_name_is_the_same_patient(caller: Caller, pasted: str) -> None:
    """Another kind of white space, or invisible characters, leaves a name the same patient's."""
    body = fresh("Ada Lovelace")
    assert (await caller.hold(body)).status == 200
    booked = await caller.book({**body, "patientName": pasted})
    assert booked.status == 201
    assert booked.body["appointment"]["patientName"] == "Ada Lovelace"


async def test_wrong_token_does_not_book_a_held_slot(caller: Caller) -> None:
    """Another token does not open a held slot."""
    body = fresh("Ada")
    assert (await caller.hold(body)).status == 200
    assert (await caller.book({**body, "patientName": "Grace", "holdToken": str(uuid4())})).body == HELD


async def test_unknown_token_books_a_free_slot(caller: Caller) -> None:
    """A free slot is booked with any token, also one that holds nothing."""
    assert (await caller.book(fresh(holdToken=str(uuid4())))).status == 201


async def test_booked_slot_cannot_be_held(caller: Caller) -> None:
    """ "Booked" wins over "held", also for the booking's own patient."""
    body = fresh("Ada")
    assert (await caller.book(body)).status == 201
    for name in ("Ada", "Grace"):
        assert (await caller.hold({**body, "patientName": name})).body == BOOKED
