"""One cluster for the tests that start its workers over; a run of all faults has its own."""

from collections.abc import AsyncIterator

import pytest

from tests.proof.faults.cluster import Cluster


@pytest.fixture(scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster() as cluster:
        yield cluster
