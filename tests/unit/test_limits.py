"""What a gateway does with more requests than it can answer in time."""

import asyncio

from starlette.types import Message, Receive, Scope, Send

from gateway.limits import MOST_IN_HAND, InHandLimit


async def test_the_gateway_has_a_bounded_number_of_requests_in_hand() -> None:
    """What comes on top is refused with 503, but for questions about health; an answer makes room."""
    going_on = asyncio.Event()

    async def application(scope: Scope, _receive: Receive, send: Send) -> None:
        await going_on.wait()
        await send({"type": "http.response.start", "status": 201, "headers": []})

    limited = InHandLimit(application)

    async def ask(path: str = "/api/book-appointment") -> int:
        statuses: list[int] = []

        async def send(message: Message) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        await limited({"type": "http", "path": path}, asyncio.Queue[Message]().get, send)
        return statuses[0]

    in_hand = [asyncio.create_task(ask()) for _ in range(MOST_IN_HAND)]
    healthy = asyncio.create_task(ask("/livez"))
    await asyncio.sleep(0)
    assert await ask() == 503
    going_on.set()
    assert set(await asyncio.gather(*in_hand, healthy, ask())) == {201}
