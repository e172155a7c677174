"""schemathesis sends valid and invalid requests by the OpenAPI document, and checks every answer."""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.keys import ALL_SCOPES, KeyFile, bearer
from tests.servers import Servers
from tests.stack import wait_until

ROOT = Path(__file__).parents[2]
# The contract contradicts this check: a cancelled appointment and its history can be read.
READ_AFTER_DELETE = "use_after_free"
ENDLESS = "/api/live"
"""An answer that does not end; `test_live.py` tests it."""


@pytest.mark.timeout(300)
async def test_every_answer_of_the_gateway_fits_its_openapi_document(
    servers: Servers, tmp_path: Path
) -> None:
    """Valid requests are accepted, invalid ones refused, with documented statuses, bodies and headers.

    A request without the key, or with a wrong one, is 401.
    """
    keys = KeyFile(tmp_path / "keys.json")
    token = keys.new(*ALL_SCOPES)
    with servers.new_stack(WEBHOOKS_ALLOW_PRIVATE="true", API_KEYS_FILE=str(keys.path)) as stack:
        stack.start("gateway.webhooks")
        stack.up()
        webhooks = partial(httpx.get, f"{stack.url}/api/webhooks", headers=bearer(token))
        wait_until(lambda: webhooks().status_code == 200, "webhooks are set up")
        code, output = await ask_all(stack.url, tmp_path, token)
    assert code == 0, output


async def ask_all(url: str, folder: Path, token: str) -> tuple[int | None, str]:
    """Run schemathesis; return its status and its output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--continue-on-failure"),
        *("--exclude-path", ENDLESS),
        *("--header", f"Authorization: Bearer {token}"),
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
    output, _ = await process.communicate()
    return process.returncode, output.decode()
