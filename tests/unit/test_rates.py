"""The rate of a client's requests."""

import threading
import time

import pytest
from limits import parse

from gateway.access import rates as module
from gateway.access.rates import Rates
from shared.contract.errors import TooManyRequests


def test_client_over_its_rate_gets_429_with_the_time_to_wait() -> None:
    """The third of two requests an hour is refused, with `Retry-After` and the `RateLimit` headers."""
    rates, rate = Rates(), parse("2/hour")
    rates.count(rate, "a")
    rates.count(rate, "a")
    with pytest.raises(TooManyRequests) as caught:
        rates.count(rate, "a")
    headers = caught.value.headers
    assert 1 <= int(headers["Retry-After"]) <= 3600
    assert headers["RateLimit-Policy"] == '"client";q=2;w=3600'
    assert headers["RateLimit"] == f'"client";r=0;t={headers["Retry-After"]}'


def test_other_clients_are_not_limited_with_it() -> None:
    """Each client has a window of its own."""
    rates, rate = Rates(), parse("1/hour")
    rates.count(rate, "a")
    rates.count(rate, "b")


def test_client_is_served_again_after_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window ends, and the next request begins another one with all of its requests."""
    rates, rate, begin = Rates(), parse("1/minute"), time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: begin)
    rates.count(rate, "a")
    monkeypatch.setattr("time.monotonic", lambda: begin + 59)
    with pytest.raises(TooManyRequests):
        rates.count(rate, "a")
    monkeypatch.setattr("time.monotonic", lambda: begin + 60)
    rates.count(rate, "a")
    with pytest.raises(TooManyRequests):
        rates.count(rate, "a")


def test_many_clients_cost_no_thread_and_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attacker with 65,536 networks leaves no work to others; ended windows go as new ones come."""
    rates, rate, begin = Rates(), parse("600/minute"), time.monotonic()
    threads = threading.active_count()
    monkeypatch.setattr("time.monotonic", lambda: begin)
    for number in range(65_536):
        rates.count(rate, f"2001:db8:0:{number:x}::/64")
    assert threading.active_count() == threads
    monkeypatch.setattr("time.monotonic", lambda: begin + 61)
    for number in range(65_536):
        rates.count(rate, f"2001:db8:1:{number:x}::/64")
    assert len(rates._windows[60]) == 65_536


def test_full_memory_forgets_the_oldest_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of clients is bounded."""
    monkeypatch.setattr(module, "MOST_CLIENTS", 10)
    rates, rate = Rates(), parse("1/hour")
    for number in range(100):
        rates.count(rate, f"client {number}")
    assert len(rates._windows[3600]) == 10
    with pytest.raises(TooManyRequests):
        rates.count(rate, "client 99")
