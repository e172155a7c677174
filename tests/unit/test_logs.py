"""What a process logs of what its libraries say."""

import subprocess
import sys

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
