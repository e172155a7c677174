"""What fails inside the gateway itself."""

from typing import Any

import httpx

from gateway.access_log import RequestLog
from tests.slots import fresh


async def test_what_fails_inside_the_gateway_is_unknown() -> None:
    """A command of a gateway that failed may have been sent: 504, in the shape of every other refusal."""

    async def fail(*_: Any) -> None:
        raise RuntimeError("Ada Lovelace")

    transport = httpx.ASGITransport(RequestLog(fail))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.post("/api/book-appointment", json=fresh())
    assert (answer.status_code, answer.json()["outcome"]) == (504, "unknown")
    assert answer.headers["retry-after"]
    assert "Ada" not in answer.text
