"""The rate of a client's requests."""

import pytest
from limits import parse

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
