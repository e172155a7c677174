"""schemathesis asks what the OpenAPI document allows, and what it does not, and checks every answer by it."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.stack import Stack

ROOT = Path(__file__).parents[2]
# The one check that the contract contradicts: a cancelled appointment can be read, and its history.
READ_AFTER_DELETE = "use_after_free"
ENDLESS = "/api/live"
"""An answer that does not end; `test_live.py` tests it."""


@pytest.mark.timeout(300)
async def test_the_gateway_answers_as_its_document_says(stack: Stack, tmp_path: Path) -> None:
    """No answer is a failure, each has a documented status, body and headers; what is valid is accepted,
    what is not is refused."""
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
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
