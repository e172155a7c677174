"""Fixtures of all tests: the servers, and a time zone."""

import os
import time
from collections.abc import Iterator

import hypothesis  # noqa: F401  # else its plugin imports it at the end, where CPython 3.11.7 may fail
import pytest

from tests.servers import NoServers, Servers, choose_kind, choose_servers
from tests.stack import Service


def pytest_configure() -> None:
    """Choose the servers of this run once, for the processes of pytest-xdist too; fork services."""
    try:
        kind, _ = choose_kind()
    except NoServers as error:
        raise pytest.UsageError(str(error)) from None
    if kind != "given":
        os.environ["TEST_SERVERS"] = kind
    Service.forks = True


def pytest_report_header() -> str:
    """Print which servers this run uses, and why."""
    kind, why = choose_kind()
    return f"servers: {kind} ({why})"


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Provide MongoDB, Redis and NATS: given by URL, in containers, or embedded, in this order."""
    with choose_servers() as servers:
        yield servers


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the time zone of this machine to one with summer time."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()
