"""Logs: structured, one event a line, one request id from the gateway into the worker."""

import json
import signal
import time

import httpx
import pytest

from tests.callers import HttpCaller
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import wait_until

REQUEST_ID = "feedfacecafe0123"


async def test_a_request_can_be_followed(servers: Servers) -> None:
    """Every line is one JSON event; the gateway's and the worker's lines of a request share its id."""
    with servers.new_stack() as stack:
        stack.up(booking_workers=1)
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            await HttpCaller(client).book(fresh(), **{"X-Request-Id": REQUEST_ID})
        wait_until(
            lambda: all(REQUEST_ID in s.log for s in (stack.services[0], stack.services[1])), "it is logged"
        )
        events = [json.loads(line) for service in stack.services for line in service.log.splitlines()]
    followed = [event for event in events if event.get("request_id") == REQUEST_ID]
    assert {event["service"] for event in followed} == {"gateway", "booking_worker"}
    assert all(event["status"] == 201 and event["ms"] > 0 for event in followed)
    assert all({"event", "level", "timestamp", "service"} <= set(event) for event in events)


async def test_logs_can_be_read_by_people(servers: Servers) -> None:
    """With LOG_FORMAT console a line is text."""
    with servers.new_stack(LOG_FORMAT="console") as stack:
        gateway = stack.start_gateway()
        wait_until(lambda: httpx.get(f"{stack.url}/livez").status_code == 200, "the gateway lives")
        httpx.get(f"{stack.url}/nothing")
        wait_until(lambda: "answered" in gateway.log, "the request is logged")
        assert not gateway.log.startswith("{")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_stop_is_no_failure(servers: Servers, number: signal.Signals) -> None:
    """Services that are stopped say so and no more: no warning, no traceback."""
    with servers.new_stack() as stack:
        stack.up(booking_workers=1)
        for service in stack.services:
            service.send(number)
            service.wait()
            events = [json.loads(line) for line in service.log.splitlines()]
            assert {event["level"] for event in events} <= {"info"}


def test_a_server_that_is_away_is_logged_once(servers: Servers) -> None:
    """A process that cannot reach NATS says so, however often it tries."""
    with servers.new_stack(NATS_URL="nats://127.0.0.1:1") as stack:
        for service in (stack.start_gateway(), stack.start("hold_worker")):
            wait_until(lambda log=service: "nats_unreachable" in log.log, "it is logged")  # type: ignore[misc]
            time.sleep(1)
            assert service.log.count("nats_") == 1
