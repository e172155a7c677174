"""Metrics of commands, latencies, batches, barriers and indexes, without any data of callers."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.ports import free_port
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack

CANARY = "Zebra-Canary"


@dataclass
class Scraped:
    """A stack, and the URLs of its workers' metrics."""

    stack: Stack
    booking: str
    hold: str

    @property
    def gateway(self) -> str:
        return self.stack.url


@pytest.fixture(scope="module")
def scraped(servers: Servers) -> Iterator[Scraped]:
    """Start a gateway and a worker of each kind that have answered bookings, a hold and refusals."""
    booking, hold = free_port(), free_port()
    with servers.new_stack() as stack:
        stack.start_gateway()
        stack.start("booking_worker", WORKER_HTTP_PORT=str(booking))
        stack.start("hold_worker", WORKER_HTTP_PORT=str(hold))
        stack.wait_ready()
        with httpx.Client(base_url=stack.url) as client:
            slot = fresh(CANARY)
            rival = {**slot, "patientName": f"{CANARY} Junior"}
            assert client.post("/api/book-appointment", json=slot).status_code == 201
            assert client.post("/api/book-appointment", json=rival).status_code == 409
            assert client.post("/api/hold-appointment", json=fresh(CANARY)).status_code == 200
            assert client.post("/api/book-appointment", json={"slot": CANARY}).status_code == 400
            assert client.request(CANARY, f"/api/{CANARY}?{CANARY}").status_code == 404
        yield Scraped(stack, f"http://127.0.0.1:{booking}", f"http://127.0.0.1:{hold}")


def read(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the samples at a URL's `/metrics`, by name and labels."""
    response = httpx.get(f"{url}/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(response.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(url: str, name: str, **labels: str) -> float:
    return read(url)[(name, frozenset(labels.items()))]


@pytest.mark.parametrize("service", ["gateway", "booking", "hold"])
def test_every_process_has_build_info_and_process_metrics(scraped: Scraped, service: str) -> None:
    """`booking_build_info` has service, version and Python; `process_*` the resources of the process."""
    samples = read(getattr(scraped, service))
    (labels,) = [dict(labels) for name, labels in samples if name == "booking_build_info"]
    assert set(labels) == {"service", "version", "python"}
    assert labels["service"].startswith(service)
    assert samples[("process_resident_memory_bytes", frozenset())] > 0


def test_commands_are_counted_by_subject_and_outcome(scraped: Scraped) -> None:
    """A worker counts its answers, refusals by their class, and measures their latency."""
    book = "booking.v1.book_many"
    assert value(scraped.booking, "booking_commands_total", subject=book, outcome="201") == 1
    assert value(scraped.booking, "booking_commands_total", subject=book, outcome="SlotAlreadyBooked") == 1
    assert value(scraped.hold, "booking_commands_total", subject="hold.v1.place_many", outcome="200") == 1
    assert value(scraped.booking, "booking_command_seconds_count", subject=book) == 2
    assert value(scraped.booking, "booking_commands_in_flight") == 0


def test_the_steps_of_a_booking_are_measured(scraped: Scraped) -> None:
    """The wait for a batch, Redis scripts, MongoDB inserts and read barriers have a histogram each."""
    assert value(scraped.booking, "booking_queue_seconds_count", queue="book") >= 2
    assert value(scraped.booking, "booking_batch_size_sum", queue="book") == 2
    assert value(scraped.booking, "booking_redis_seconds_count", script="register_intents") >= 2
    assert value(scraped.booking, "booking_mongodb_seconds_count", operation="insert") >= 2
    assert value(scraped.booking, "booking_mongodb_seconds_count", operation="barrier") >= 1
    assert value(scraped.hold, "booking_redis_seconds_count", script="grant_holds") == 1


def test_verified_indexes_are_a_metric(scraped: Scraped) -> None:
    """`booking_indexes_verified` is 1 while the indexes are verified."""
    assert value(scraped.booking, "booking_indexes_verified") == 1
    assert value(scraped.hold, "booking_indexes_verified") == 1


def test_the_gateway_counts_requests_and_attempts(scraped: Scraped) -> None:
    """The gateway counts requests by route and status, attempts by outcome, and commands by message."""
    route = "/api/book-appointment"
    requests = "booking_http_requests_total"
    assert value(scraped.gateway, requests, method="POST", route=route, status="201") == 1
    assert value(scraped.gateway, requests, method="POST", route=route, status="400") == 1
    assert value(scraped.gateway, "booking_http_request_seconds_count", route=route) == 3
    attempts, book = "booking_client_attempts_total", "booking.v1.book_many"
    assert value(scraped.gateway, attempts, subject=book, outcome="answered") == 2
    assert value(scraped.gateway, "booking_client_batch_size_count", subject=book) == 2


@pytest.mark.parametrize("service", ["gateway", "booking", "hold"])
def test_no_label_has_data_of_a_caller(scraped: Scraped, service: str) -> None:
    """No name, unknown path or unknown method that a caller sends becomes a label."""
    assert CANARY.lower() not in httpx.get(f"{getattr(scraped, service)}/metrics").text.lower()
