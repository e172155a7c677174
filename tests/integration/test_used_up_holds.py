"""A hold is used up by a move that is carried out, and by no other."""

import nats
import pytest

from tests.callers import Answer, NatsCaller
from tests.servers import Servers
from tests.slots import fresh


async def ask_after_a_refused_move(servers: Servers, without: str) -> Answer:
    """What a stranger is told who books what another holds and could not move to."""
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
    """After a refused move its patient's hold stands; control: where a hold is used up first, it is gone."""
    assert (await ask_after_a_refused_move(servers, without)).status == status
