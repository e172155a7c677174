"""The commands of operators, run as they run them."""

import asyncio
import os
from dataclasses import dataclass

from tests.forking import run
from tests.stack import Stack

COMMAND_SECONDS = 60


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    errors: str


async def privacy(stack: Stack, *arguments: str, stdin: str = "") -> Ended:
    """Run the command with a stack's settings, and check that it prints no name to its log."""

    done = await asyncio.to_thread(
        run,
        "booking_worker.privacy",
        *arguments,
        environment={**os.environ, **stack.env},
        stdin=stdin,
        seconds=COMMAND_SECONDS,
    )
    ended = Ended(done.returncode, done.stdout, done.stderr)
    assert "Zebra" not in ended.errors
    assert "Traceback" not in ended.errors, ended.errors
    return ended
