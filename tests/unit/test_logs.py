"""A process's log of its libraries' messages."""

import asyncio
import json
import os
import re
import subprocess
import sys
from io import BytesIO, TextIOWrapper

import pytest

from shared.process.logs import Lines

ORPHAN = """
import asyncio, gc
from shared.process.logs import configure_logs
from shared.process.settings import LogSettings

async def fail():
    raise ValueError("Zebra Canary")

async def main():
    task = asyncio.create_task(fail())
    await asyncio.wait({task})
    del task
    gc.collect()

configure_logs(LogSettings(), "worker")
asyncio.run(main())
"""


def test_unretrieved_exception_is_logged_without_its_text() -> None:
    """asyncio logs an unretrieved exception with its text, which may contain a name; a service does not."""
    ran = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, text=True, check=True)
    assert "Task exception was never retrieved" in ran.stdout
    assert '"exception": "ValueError"' in ran.stdout
    assert "Zebra" not in ran.stdout + ran.stderr


async def test_lines_of_one_event_loop_turn_are_written_together() -> None:
    """The lines of many answers cost one system call, and are written in the same turn."""
    written = BytesIO()
    lines = Lines(TextIOWrapper(written))
    for turn in range(2):
        for number in range(3):
            lines.write(f"{turn}{number}\n")
            lines.flush()
        assert len(written.getvalue().splitlines()) == 3 * turn
        await asyncio.sleep(0)
        assert len(written.getvalue().splitlines()) == 3 * (turn + 1)


def test_line_is_written_at_once_without_an_event_loop() -> None:
    """Lines from before and after the event loop are not delayed."""
    written = BytesIO()
    lines = Lines(TextIOWrapper(written))
    lines.write("starts\n")
    lines.flush()
    assert written.getvalue() == b"starts\n"


LINE_TWICE = """
import structlog
from shared.process.logs import FrequentLine, configure_logs
from shared.process.settings import LogSettings

configure_logs(LogSettings(), "gateway")
structlog.contextvars.bind_contextvars(request_id="0f3a-4711")
fields = {"method": "GET", "route": None, "status": 201}
structlog.get_logger().info("answered", **fields, ms=12.3)
line = FrequentLine("answered", **fields)
line.write(12.3, "0f3a-4711")
line.write(12.3, "0f3a-4711")
"""


@pytest.mark.parametrize(
    ("log_format", "log_level", "count"),
    [("json", "info", 3), ("console", "info", 3), ("json", "warning", 0)],
)
def test_a_frequent_line_is_the_line_of_structlog(log_format: str, log_level: str, count: int) -> None:
    """A frequent line has the fields, format and level that structlog gives it; only its time differs."""
    env = os.environ | {"LOG_FORMAT": log_format, "LOG_LEVEL": log_level}
    ran = subprocess.run(
        [sys.executable, "-c", LINE_TWICE], capture_output=True, text=True, check=True, env=env
    )
    lines = [re.sub(r"[0-9-]{10}T[0-9:.]{8,15}Z", "TIME", line) for line in ran.stdout.splitlines()]
    assert len(lines) == count
    assert len(set(lines)) == min(count, 1)
    assert all("TIME" in line and "0f3a-4711" in line for line in lines)


LINE_WITH_MORE = """
import structlog
from shared.process.logs import FrequentLine, configure_logs
from shared.process.settings import LogSettings

configure_logs(LogSettings(), "gateway")
more = {"site": "nor\\"th", "resources": ("one", "two")}
structlog.get_logger().info("answered", status=409, ms=12.3, request_id="0f3a", **more)
line = FrequentLine("answered", status=409)
line.write(12.3, "0f3a", more)
line.write(12.3, "0f3a")
"""


def test_a_frequent_line_has_the_fields_that_only_one_of_its_lines_has() -> None:
    """Further fields are written as structlog writes them, and only in the line that they are passed for."""
    ran = subprocess.run(
        [sys.executable, "-c", LINE_WITH_MORE], capture_output=True, text=True, check=True, env=os.environ
    )
    by_structlog, with_more, without = map(json.loads, ran.stdout.splitlines())
    for line in (by_structlog, with_more, without):
        assert line.pop("timestamp").endswith("Z")
    assert with_more == by_structlog
    assert without == {name: by_structlog[name] for name in by_structlog if name not in ("site", "resources")}
