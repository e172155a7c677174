"""A token holds at most 600 claims, and a refused hold changes nothing: through real workers."""

from uuid import uuid4

import nats
import pytest
from redis import Redis

from tests.callers import Answer, NatsCaller
from tests.servers import Servers
from tests.slots import fresh

RESOURCES = [f"resource-{n}" for n in range(8)]


@pytest.mark.parametrize(("without", "status"), [("", 400), ("no_claim_limit", 200)])
async def test_token_holds_at_most_600_claims(servers: Servers, without: str, status: int) -> None:
    """A hold beyond 600 claims of its token is 400 and changes nothing. Control: it is granted."""
    with servers.new_stack(SLOT_MINUTES="15") as stack:
        stack.start("hold_worker", without=without)
        stack.wait_serving()
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            caller, token = NatsCaller(connection), str(uuid4())
            body = fresh("Ada", holdToken=token, durationMinutes=60 * 15, resources=RESOURCES)
            first, second = body, {**body, "slot": "2031-05-05T09:00:00Z", "durationMinutes": 60 * 3 + 45}
            assert (await caller.hold(first)).status == 200
            assert (await caller.hold(second)).status == 200  # 480 and 120 claims
            assert (await caller.hold(first)).status == 200  # an extension adds no claim
            with Redis.from_url(stack.env["REDIS_URL"], decode_responses=True) as redis:
                before = ends(redis, body["site"])
                more = {**body, "slot": "2031-05-05T12:45:00Z", "durationMinutes": 15, "resources": ["a"]}
                refused = await caller.hold(more)
                assert refused.status == status
                if status == 400:
                    assert "holdToken" in str(refused.error)
                    assert ends(redis, body["site"]) == before
            assert (await caller.hold({**more, "holdToken": str(uuid4())})).status == (
                409 if without else 200
            )


def ends(redis: Redis, site: str) -> dict[str, int]:
    """Return the expiry of every key of a site (Unix ms)."""
    return {key: redis.pexpiretime(key) for key in redis.scan_iter(f"*{{{site}}}*", count=1000)}


@pytest.mark.parametrize(("without", "changed"), [("", False), ("extension_touches_ttl", True)])
async def test_refused_extension_keeps_the_holds_expiry(
    servers: Servers, without: str, changed: bool
) -> None:
    """An extension onto a booked cell is 409 and keeps the hold's expiry. Control: the expiry moves."""
    with servers.new_stack(SLOT_MINUTES="15", SOFT_HOLD_SECONDS="30") as stack:
        stack.start("booking_worker")
        stack.start("hold_worker", without=without)
        stack.wait_serving()
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            caller, body = NatsCaller(connection), fresh("Ada", holdToken=str(uuid4()))
            rival = {**body, "patientName": "Eve", "slot": "2031-05-04T09:15:00Z", "holdToken": None}
            assert (await caller.hold(body)).status == 200
            assert (await caller.book(rival)).status == 201
            with Redis.from_url(stack.env["REDIS_URL"], decode_responses=True) as redis:
                before = hold_ends(redis, body["site"])
                refused: Answer = await caller.hold({**body, "durationMinutes": 30})
                assert refused.error == "Slot already booked"
                assert (hold_ends(redis, body["site"]) != before) is changed


def hold_ends(redis: Redis, site: str) -> dict[str, int]:
    return {key: end for key, end in ends(redis, site).items() if not key.startswith("intent")}
