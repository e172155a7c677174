"""The servers that tests run on."""

from collections.abc import Iterator

import hypothesis  # noqa: F401  # its plugin else imports it at the end, where CPython 3.11.7 may fail
import pytest

from tests.servers import Servers, choose_servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """MongoDB, Redis and NATS: given by URL, in containers, or embedded, in this order."""
    with choose_servers() as servers:
        yield servers
