"""The data directory of a local stack."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.local_stack.stack import STOP_SECONDS, running_on


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """Return a data directory; stop the processes that a failed test leaves running on it."""
    folder = tmp_path / "data"
    yield folder
    remaining = running_on(folder)
    for process in remaining:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    psutil.wait_procs(remaining, timeout=STOP_SECONDS)
