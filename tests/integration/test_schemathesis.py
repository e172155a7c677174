"""schemathesis asks what the OpenAPI document allows, and what it does not, and checks every answer by it."""

import asyncio
import os
import sys
from pathlib import Path

import httpx
import pytest

from tests.servers import Servers
from tests.stack import wait_until

ROOT = Path(__file__).parents[2]
# The one check that the contract contradicts: a cancelled appointment can be read, and its history.
READ_AFTER_DELETE = "use_after_free"


@pytest.mark.timeout(300)
async def test_the_gateway_answers_as_its_document_says(servers: Servers, tmp_path: Path) -> None:
    """No answer is a failure, each has a documented status, body and headers; what is valid is accepted,
    what is not is refused."""
    with servers.new_stack(WEBHOOKS_ALLOW_PRIVATE="true") as stack:
        stack.start("gateway.webhooks")
        stack.up()
        wait_until(lambda: httpx.get(f"{stack.url}/api/webhooks").status_code == 200, "webhooks are set up")
        code, said = await ask_all(stack.url, tmp_path)
    assert code == 0, said


async def ask_all(url: str, folder: Path) -> tuple[int | None, str]:
    """Run schemathesis; return its status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--continue-on-failure"),
        *("--checks", "all", "--exclude-checks", READ_AFTER_DELETE),
        *("--seed", "1", "--max-examples", "10", "--no-color"),
        cwd=folder,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.integration.schemathesis_hooks",
            "PYTHONPATH": str(ROOT),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()
