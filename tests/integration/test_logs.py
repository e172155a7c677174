"""Logs are structured, one event a line, with one request id from the gateway to the worker."""

import json
import signal
import time
from uuid import uuid4

import httpx
import pytest

from tests.callers import HttpCaller
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import wait_until

REQUEST_ID = "feedfacecafe0123"


async def test_a_request_has_one_id_in_the_logs_of_all_services(servers: Servers) -> None:
    """Every line is one JSON event, and the gateway's and worker's lines of a request share its id."""
    with servers.new_stack() as stack:
        stack.up(booking_workers=1)
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            await HttpCaller(client).book(fresh(), **{"X-Request-Id": REQUEST_ID})
        wait_until(
            lambda: all(REQUEST_ID in s.log for s in (stack.services[0], stack.services[1])),
            "the line is logged",
        )
        events = [json.loads(line) for service in stack.services for line in service.log.splitlines()]
    followed = [event for event in events if event.get("request_id") == REQUEST_ID]
    assert {event["service"] for event in followed} == {"gateway", "booking_worker"}
    assert all(event["status"] == 201 and event["ms"] > 0 for event in followed)
    assert all({"event", "level", "timestamp", "service"} <= set(event) for event in events)


async def test_a_refused_request_can_be_found_without_its_id(servers: Servers) -> None:
    """The lines of a refusal have its type and its slot or id, at gateway and worker, and never a name."""
    canary = "Zebra Canary"
    with servers.new_stack() as stack:
        stack.up(booking_workers=1)
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            body = fresh(canary, resources=["dr-lee"])
            id = (await HttpCaller(client).book(body)).body["appointment"]["id"]
            assert (await HttpCaller(client).book({**body, "patientName": f"{canary} II"})).status == 409
            unknown = str(uuid4())
            assert (await client.get(f"/api/appointments/{unknown}")).status_code == 404
            assert (await client.delete(f"/api/appointments/{canary}")).status_code == 404
            assert (await client.patch(f"/api/appointments/{id}", json={"slot": canary})).status_code == 400
            assert (await client.request("ZEBRA", f"/api/{canary}")).status_code == 404
            stack.workers("booking")[0].send(signal.SIGSTOP)
            lost = fresh(canary)
            assert (await HttpCaller(client).book(lost)).status in (503, 504)
            assert (await client.get(f"/api/appointments/{unknown}")).status_code in (503, 504)
            stack.workers("booking")[0].send(signal.SIGCONT)
        wait_until(lambda: stack.services[0].log.count("answered") >= 8, "the line is logged")
        lines = [json.loads(line) for service in stack.services for line in service.log.splitlines()]
        assert "zebra" not in "".join(service.log for service in stack.services).lower()
    slot = {"site": body["site"], "resources": ["dr-lee"], "slot": "2031-05-04T09:00:00.000Z"}
    booked = {"error_type": "SlotAlreadyBooked", "level": "info", **slot}
    for service in ("gateway", "booking_worker"):
        answered = [line for line in lines if line["service"] == service and line["event"] == "answered"]
        assert any(booked.items() <= line.items() for line in answered), service
        not_found = {"error_type": "NoSuchAppointment", "appointment_id": unknown}
        assert any(not_found.items() <= line.items() for line in answered), service
        assert not any("slot" in line for line in answered if line["status"] == 201)
    answered = [line for line in lines if line["service"] == "gateway" and line["event"] == "answered"]
    assert any(
        line.get("error_type") == "InvalidRequest" and line["appointment_id"] == id for line in answered
    )
    assert {line["level"] for line in answered if line["status"] >= 500} == {"warning"}
    assert any(line["status"] >= 500 and line.get("site") == lost["site"] for line in answered)
    assert [line["method"] for line in answered if line["route"] is None] == ["other"]


async def test_console_logs_are_text(servers: Servers) -> None:
    """With LOG_FORMAT console a line is plain text."""
    with servers.new_stack(LOG_FORMAT="console") as stack:
        gateway = stack.start_gateway()
        wait_until(lambda: httpx.get(f"{stack.url}/livez").status_code == 200, "the gateway is live")
        httpx.get(f"{stack.url}/nothing")
        wait_until(lambda: "answered" in gateway.log, "the request is logged")
        assert not gateway.log.startswith("{")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_stopped_service_logs_no_warning(servers: Servers, number: signal.Signals) -> None:
    """A service that is stopped by a signal logs no warning and no traceback."""
    with servers.new_stack() as stack:
        stack.up(booking_workers=1)
        for service in stack.services:
            service.send(number)
            service.wait()
            events = [json.loads(line) for line in service.log.splitlines()]
            assert {event["level"] for event in events} <= {"info"}


def test_an_unreachable_nats_is_logged_once(servers: Servers) -> None:
    """A process that cannot reach NATS logs that once, however often it retries."""
    with servers.new_stack(NATS_URL="nats://127.0.0.1:1") as stack:
        for service in (stack.start_gateway(), stack.start("hold_worker")):
            wait_until(lambda log=service: "nats_unreachable" in log.log, "the line is logged")  # type: ignore[misc]
            time.sleep(1)
            assert service.log.count("nats_") == 1
