"""Hints on core NATS report changes of holds, without a token or a name; no command needs them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.process.nats_wire import round_trip
from tests.callers import NatsCaller
from tests.integration.many import alone, ask_many
from tests.slots import fresh

WAIT_SECONDS = 10
NAME = "Zebra-Canary"
SLOT = "2031-05-04T09:00:00.000Z"


@asynccontextmanager
async def hints_of(connection: Client, site: str) -> AsyncIterator[Subscription]:
    subscription = await connection.subscribe(f"hint.v1.{site}.hold")
    await round_trip(connection)
    yield subscription
    await subscription.unsubscribe()


async def next_hint(subscription: Subscription) -> dict[str, Any]:
    """The next hint; none contains a token, a name or a header."""
    message: Msg = await subscription.next_msg(WAIT_SECONDS)
    assert NAME.encode() not in message.data
    assert b"oken" not in message.data
    assert not message.headers
    hint: dict[str, Any] = json.loads(message.data)
    return hint


async def test_hold_is_hinted_from_its_place_to_its_release(
    nats_caller: NatsCaller, nats_connection: Client
) -> None:
    """A hold that is placed, extended and released is hinted three times, with its known fields."""
    body = fresh(NAME, holdToken=str(uuid4()), resources=["room-2", "dr-lee"], durationMinutes=30)
    async with hints_of(nats_connection, body["site"]) as hints:
        placed = (await nats_caller.hold(body)).body["hold"]
        assert await next_hint(hints) == {
            "type": "placed",
            "site": body["site"],
            "resources": ["dr-lee", "room-2"],
            "slot": SLOT,
            "durationMinutes": 30,
            "expiresAt": placed["expiresAt"],
        }
        extended = (await nats_caller.hold(body)).body["hold"]
        hint = await next_hint(hints)
        assert (hint["type"], hint["expiresAt"]) == ("extended", extended["expiresAt"])
        release = {"site": body["site"], "holdToken": body["holdToken"]}
        assert (await nats_caller.ask("release", release)).status == 200
        assert await next_hint(hints) == {"type": "released", "site": body["site"]}


async def test_hold_that_a_booking_uses_up_is_hinted(
    nats_caller: NatsCaller, nats_connection: Client
) -> None:
    """A booking that uses up its patient's hold publishes the hint `used`, with the booked resources."""
    body = fresh(NAME, holdToken=str(uuid4()))
    async with hints_of(nats_connection, body["site"]) as hints:
        await nats_caller.hold(body)
        assert (await next_hint(hints))["type"] == "placed"
        assert (await nats_caller.book(body)).status == 201
        assert await next_hint(hints) == {"type": "used", "site": body["site"], "resources": ["default"]}


async def test_refused_hold_has_no_hint(nats_caller: NatsCaller, nats_connection: Client) -> None:
    """Neither a refused hold nor a refused release is hinted, nor a booking that used no hold."""
    body = fresh(NAME)
    async with hints_of(nats_connection, body["site"]) as hints:
        assert (await nats_caller.book(body)).status == 201
        assert (await nats_caller.hold(body)).status == 409
        release = {"site": body["site"], "holdToken": str(uuid4())}
        assert (await nats_caller.ask("release", release)).status == 404
        other = {**body, "resources": ["room-2"]}
        assert (await nats_caller.hold(other)).status == 200
        assert (await next_hint(hints))["resources"] == ["room-2"]


async def test_each_hold_of_a_batch_is_hinted(nats_connection: Client) -> None:
    """The holds of one message have a hint each."""
    body = fresh(NAME)
    names = [f"dr-{number}" for number in range(20)]
    async with hints_of(nats_connection, body["site"]) as hints:
        commands = alone(*({**body, "resources": [name]} for name in names))
        replies = await ask_many(nats_connection, "hold.v1.place_many", commands)
        assert {reply["status"] for reply in replies} == {200}
        hinted = [(await next_hint(hints))["resources"][0] for _ in names]
    assert sorted(hinted) == sorted(names)
