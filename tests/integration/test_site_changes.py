"""Windows of a new site, which are opened at once, follow it before they are read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from nats.aio.client import Client
from nats.aio.subscription import Subscription

from shared.client.site_changes import SiteChange, SiteFollower
from shared.contract.hints import HoldHint, hint_subject
from shared.process.nats_wire import round_trip
from tests.servers import Servers

SITE = "harbour"
HINT = HoldHint(type="released", site=SITE)


class SlowClient(Client):
    """A client whose subscriptions wait, as they do while much is to be written."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def subscribe(self, *args: Any, **more: Any) -> Subscription:
        self.begun.set()
        await self.go_on.wait()
        return await super().subscribe(*args, **more)


@asynccontextmanager
async def slow_client(servers: Servers) -> AsyncIterator[SlowClient]:
    with servers.new_stack() as stack:
        client = SlowClient()
        await client.connect(stack.env["NATS_URL"])
        try:
            yield client
        finally:
            await client.close()


async def seen_by(client: SlowClient, follower: SiteFollower, changes: list[SiteChange]) -> int:
    """Publish a hint, and return how many changes the follower has seen then."""
    await client.publish(hint_subject(SITE), HINT.body())
    await round_trip(client)
    async with asyncio.timeout(5):
        while not changes:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await follower.stop()
    return len(changes)


async def test_second_window_waits_until_the_first_has_subscribed(servers: Servers) -> None:
    """Two windows that start to follow a site at once both wait, and the site is followed once."""
    changes: list[SiteChange] = []
    async with slow_client(servers) as client:
        follower = SiteFollower(client, SITE, changes.append)
        windows = [asyncio.create_task(follower.start()) for _ in range(3)]
        await client.begun.wait()
        assert not (await asyncio.wait(windows, timeout=0.1))[0]
        client.go_on.set()
        await asyncio.gather(*windows)
        assert await seen_by(client, follower, changes) == 1


async def test_window_that_is_closed_while_it_subscribes_leaves_that_to_the_next(servers: Servers) -> None:
    """A cancelled start is made up for by the start of the next window."""
    changes: list[SiteChange] = []
    async with slow_client(servers) as client:
        follower = SiteFollower(client, SITE, changes.append)
        first = asyncio.create_task(follower.start())
        await client.begun.wait()
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        client.go_on.set()
        await follower.start()
        assert await seen_by(client, follower, changes) == 1
