"""The commands of operators, run as they run them."""

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass

from deploy.local.process import ROOT
from tests.stack import Stack

COMMAND_SECONDS = 60


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    errors: str


async def privacy(stack: Stack, *arguments: str, stdin: str = "") -> Ended:
    """Run the command with a stack's settings, and check that it prints no name to its log."""

    def run() -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "booking_worker.privacy", *arguments],
            cwd=ROOT,
            env={**os.environ, **stack.env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    ended = await asyncio.to_thread(run)
    assert "Zebra" not in ended.errors
    assert "Traceback" not in ended.errors, ended.errors
    return ended
