"""What a process logs of what its libraries say."""

import asyncio
import subprocess
import sys
from io import BytesIO, TextIOWrapper

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


def test_an_exception_that_nobody_met_is_logged_without_its_text() -> None:
    """asyncio logs an exception that nobody took with all that it says, a name perhaps: here not."""
    ran = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, text=True, check=True)
    assert "Task exception was never retrieved" in ran.stdout
    assert '"exception": "ValueError"' in ran.stdout
    assert "Zebra" not in ran.stdout + ran.stderr


async def test_lines_of_a_turn_of_the_event_loop_are_written_together() -> None:
    """Many commands are answered at once: their lines cost one call of the system, and are not late."""
    written = BytesIO()
    lines = Lines(TextIOWrapper(written))
    for turn in range(2):
        for number in range(3):
            lines.write(f"{turn}{number}\n")
            lines.flush()
        assert len(written.getvalue().splitlines()) == 3 * turn
        await asyncio.sleep(0)
        assert len(written.getvalue().splitlines()) == 3 * (turn + 1)


def test_a_line_is_written_at_once_where_no_event_loop_runs() -> None:
    """What a process logs before and after it serves waits for nothing."""
    written = BytesIO()
    lines = Lines(TextIOWrapper(written))
    lines.write("starts\n")
    lines.flush()
    assert written.getvalue() == b"starts\n"
