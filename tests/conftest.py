"""The servers that tests run on."""

import os
import time
from collections.abc import Iterator

import hypothesis  # noqa: F401  # its plugin else imports it at the end, where CPython 3.11.7 may fail
import pytest

from tests.servers import NoServers, Servers, choose_kind, choose_servers


def pytest_configure() -> None:
    """Settle which servers this run uses, for the processes of pytest-xdist too."""
    try:
        kind, _ = choose_kind()
    except NoServers as error:
        raise pytest.UsageError(str(error)) from None
    if kind != "given":
        os.environ["TEST_SERVERS"] = kind


def pytest_report_header() -> str:
    """Say which servers they are."""
    kind, why = choose_kind()
    return f"servers: {kind} ({why})"


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """MongoDB, Redis and NATS: given by URL, in containers, or embedded, in this order."""
    with choose_servers() as servers:
        yield servers


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of this machine is one that has a summer time."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()
