"""The stores on PyMongo's own asynchronous client, which takes the place of motor one day."""

import asyncio
import inspect
import sys
from pathlib import Path

import pytest

from shared.stores.mongo import connection
from tests import pymongo_async

ROOT = Path(__file__).parents[2]
OF_STORES = ("test_booking_store.py", "test_windows.py")


def names(module: object) -> set[str]:
    """What a module offers to the others: its public functions and types."""
    return {
        name
        for name, value in vars(module).items()
        if name in ("Document", "Database", "Collection", "READ_AT_ONCE")
        or (inspect.isfunction(value) and value.__module__ == module.__name__ and name[0] != "_")  # type: ignore[attr-defined]
    } - {"pytest_load_initial_conftests"}


def test_both_clients_offer_the_same() -> None:
    """To change the client is to put one module into the place of another."""
    assert names(pymongo_async) == names(connection)


async def test_the_tests_of_the_stores_pass_on_it() -> None:
    """They pass without a change: stores depend on nothing that motor alone does."""
    files = [str(ROOT / "tests" / "integration" / name) for name in OF_STORES]
    command = ("-m", "pytest", "-q", "-p", "tests.pymongo_async", "-p", "no:cacheprovider", *files)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        pytest.fail(output.decode()[-6000:])
    assert b" passed" in output
