"""The servers that tests run on."""

from collections.abc import Iterator

import pytest

from tests.servers import Servers, choose_servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """MongoDB, Redis and NATS: given by URL, in containers, or embedded, in this order."""
    with choose_servers() as servers:
        yield servers
