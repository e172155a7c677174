"""What a worker does for the caller that the gateway names in the envelope of a command."""

import json
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from tests.callers import Answer, NatsCaller
from tests.servers import Servers
from tests.slots import fresh

NAMELESS = {"id": "web"}
OF_ANOTHER_SITE = {"id": "till", "sites": ["clinic-2"], "names": True}


def of_site(body: dict[str, Any]) -> dict[str, Any]:
    """Return a caller that may use the site of a command."""
    return {"id": "desk", "sites": [body["site"]], "names": True}


async def many(connection: Client, subject: str, command: dict[str, Any], caller: object) -> dict[str, Any]:
    """Send a batch of one command, and return its reply."""
    payload = json.dumps({"commands": [{"command": command, "caller": caller}]}).encode()
    answer = json.loads((await connection.request(subject, payload, timeout=20)).data)
    reply: dict[str, Any] = answer["replies"][0]
    return reply


async def single(connection: Client, subject: str, command: object, caller: object) -> Answer:
    """Send a single command with the header `Caller`."""
    return await NatsCaller(connection).request(subject, command, {"Caller": json.dumps(caller)})


async def test_answer_to_a_caller_without_names_has_no_name(nats_connection: Client) -> None:
    """201, a read, a list, a cancel and a 409 AppointmentCancelled leave name and contact out."""
    assert "Zo" not in str(await answers_without_names(nats_connection))


async def answers_without_names(connection: Client) -> list[Any]:
    """Book, read, list, cancel and book again for a caller that may not read names."""
    body = fresh('Zoë "Ö" \\', contact='"Zoë", +49', idempotencyKey="web-4711")
    window = {"site": body["site"], "from": "2031-05-04T00:00Z", "to": "2031-05-05T00:00Z"}
    booked = await many(connection, "booking.v1.book_many", body, NAMELESS)
    assert booked["status"] == 201
    id = {"id": booked["body"]["appointment"]["id"]}
    read = await single(connection, "booking.v1.get", id, NAMELESS)
    listed = await single(connection, "booking.v1.list", window, NAMELESS)
    assert (read.status, len(listed.body["appointments"])) == (200, 1)
    cancelled = await many(connection, "booking.v1.cancel_many", id, NAMELESS)
    again = await many(connection, "booking.v1.book_many", body, NAMELESS)
    assert (again["status"], again["body"]["appointment"]["status"]) == (409, "cancelled")
    return [booked, read, listed, cancelled, again]


async def test_contact_is_answered_if_names_alone_are_left_out(servers: Servers) -> None:
    """Control: without the rule for contacts, the same answers have them."""
    with servers.new_stack() as stack:
        stack.start("booking_worker", without="contact_shown")
        stack.wait_serving()
        connection = await nats.connect(stack.env["NATS_URL"])
        try:
            answers = await answers_without_names(connection)
        finally:
            await connection.close()
    assert all("Zo" in str(answer) for answer in answers)


async def test_answer_to_a_caller_with_names_has_the_name(nats_connection: Client) -> None:
    """Control: with `names`, the same answers have the name."""
    body = fresh("Ada", contact="ada@example.org")
    booked = await many(nats_connection, "booking.v1.book_many", body, of_site(body))
    appointment = booked["body"]["appointment"]
    assert (appointment["patientName"], appointment["contact"]) == ("Ada", "ada@example.org")


@pytest.mark.parametrize("kind", ["cancel", "move", "get", "history"])
async def test_appointment_of_another_site_does_not_exist_for_a_key(
    nats_connection: Client, kind: str
) -> None:
    """A key of clinic-2 gets 404 for an appointment of another site, and changes nothing."""
    body = fresh("Ada")
    booked = await many(nats_connection, "booking.v1.book_many", body, of_site(body))
    id = booked["body"]["appointment"]["id"]
    command = {"id": id} | ({"slot": fresh()["slot"]} if kind == "move" else {})
    answer = await single(nats_connection, f"booking.v1.{kind}", command, OF_ANOTHER_SITE)
    assert (answer.status, answer.body) == (404, {"error": "No such appointment"})
    own = await single(nats_connection, "booking.v1.get", {"id": id}, of_site(body))
    assert (own.body["appointment"]["version"], own.body["appointment"]["status"]) == (1, "booked")


@pytest.mark.parametrize("subject", ["booking.v1.book", "hold.v1.place"])
async def test_command_in_a_site_outside_the_key_is_forbidden(nats_connection: Client, subject: str) -> None:
    """A key of clinic-2 cannot book or hold in another site: 403, alone and in a batch."""
    body = fresh("Ada")
    alone = await single(nats_connection, subject, body, OF_ANOTHER_SITE)
    batched = await many(nats_connection, f"{subject}_many", body, OF_ANOTHER_SITE)
    assert (alone.status, alone.headers["error-type"]) == (403, "Forbidden")
    assert batched["status"] == 403
    assert (await single(nats_connection, subject, body, of_site(body))).status in (200, 201)


async def test_malformed_caller_is_refused(nats_connection: Client) -> None:
    """A caller with an unknown field is 400, and nothing is booked."""
    body = fresh("Ada")
    for caller in ({"id": "web", "colour": 1}, {"names": True}, 7):
        assert (await many(nats_connection, "booking.v1.book_many", body, caller))["status"] == 400
        assert (await single(nats_connection, "booking.v1.book", body, caller)).status == 400
    assert (await single(nats_connection, "booking.v1.book", body, of_site(body))).status == 201
