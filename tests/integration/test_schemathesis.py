"""schemathesis sends valid and invalid requests by the OpenAPI document, and checks every answer."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.stack import Stack

ROOT = Path(__file__).parents[2]
# The contract contradicts this check: a cancelled appointment and its history can be read.
READ_AFTER_DELETE = "use_after_free"
ENDLESS = "/api/live"
"""An answer that does not end; `test_live.py` tests it."""


@pytest.mark.timeout(300)
async def test_every_answer_of_the_gateway_fits_its_openapi_document(stack: Stack, tmp_path: Path) -> None:
    """Valid requests are accepted, invalid ones refused, with documented statuses, bodies and headers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "run", f"{stack.url}/openapi.json", "--continue-on-failure"),
        *("--exclude-path", ENDLESS),
        *("--checks", "all", "--exclude-checks", READ_AFTER_DELETE),
        *("--seed", "1", "--max-examples", "10", "--no-color"),
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.integration.schemathesis_hooks",
            "PYTHONPATH": str(ROOT),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
