"""Failures inside the gateway."""

import asyncio
from typing import Any

import httpx
import pytest

from gateway.http.middleware import RequestMiddleware
from tests.slots import fresh


@pytest.mark.parametrize("failure", [RuntimeError("Ada Lovelace"), asyncio.CancelledError()])
async def test_failure_inside_the_gateway_is_an_unknown_outcome(failure: BaseException) -> None:
    """A gateway that failed or was stopped may have sent the command, so it answers 504."""

    async def fail(*_: Any) -> None:
        raise failure

    transport = httpx.ASGITransport(RequestMiddleware(fail))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.post("/api/book-appointment", json=fresh())
    assert (answer.status_code, answer.json()["outcome"]) == (504, "unknown")
    assert answer.headers["retry-after"]
    assert answer.headers["error-type"] == "OutcomeUnknown"
    assert "Ada" not in answer.text
