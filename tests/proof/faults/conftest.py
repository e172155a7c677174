"""One cluster for the tests that restart its workers; the run with all faults has its own."""

from collections.abc import AsyncIterator

import pytest

from tests.proof.faults.cluster import Cluster


@pytest.fixture(scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster() as cluster:
        yield cluster
