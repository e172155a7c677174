"""A move uses up its patient's hold only if it is carried out."""

import nats
import pytest

from tests.callers import Answer, NatsCaller
from tests.servers import Servers
from tests.slots import fresh


async def book_after_a_refused_move(servers: Servers, without: str) -> Answer:
    """Let a move to a held and a booked resource be refused, then book the held one for another patient."""
    with servers.new_stack() as stack:
        stack.start("booking_worker", without=without)
        stack.start("hold_worker")
        stack.wait_serving()
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            caller = NatsCaller(connection)
            body = fresh("Ada", resources=["a"])
            booking = await caller.book(body)
            assert (await caller.book({**body, "patientName": "Bob", "resources": ["c"]})).status == 201
            assert (await caller.hold({**body, "resources": ["b"]})).status == 200
            move = {"id": booking.body["appointment"]["id"], "resources": ["b", "c"]}
            assert (await caller.ask("move", move)).status == 409
            return await caller.book({**body, "patientName": "Eve", "resources": ["b"]})


@pytest.mark.parametrize(("without", "status"), [("", 409), ("holds_used_up_first", 201)])
async def test_a_move_that_fails_uses_up_no_hold(servers: Servers, without: str, status: int) -> None:
    """A refused move keeps its patient's hold; control: not if a move uses up holds before it is decided."""
    assert (await book_after_a_refused_move(servers, without)).status == status
