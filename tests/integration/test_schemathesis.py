"""schemathesis asks what the OpenAPI document allows, and what it does not, and checks every answer by it."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.stack import Stack

FOLDER = Path(__file__).parent / "schemathesis"


@pytest.mark.timeout(300)
async def test_the_gateway_answers_as_its_document_says(stack: Stack, tmp_path: Path) -> None:
    """No answer is a failure, each has a documented status, body and headers; what is valid is accepted,
    what is not is refused."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "--config-file", str(FOLDER / "schemathesis.toml")),
        *("run", f"{stack.url}/openapi.json", "--checks", "all", "--continue-on-failure"),
        *("--seed", "1", "--max-examples", "10", "--no-color"),
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.integration.schemathesis.hooks"}
        | {"PYTHONPATH": str(Path.cwd())},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
