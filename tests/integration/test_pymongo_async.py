"""The stores work on PyMongo's own asynchronous client, which is to replace motor."""

import asyncio
import inspect
import sys
from pathlib import Path

import pytest

from shared.stores.mongo import connection
from tests import pymongo_async

ROOT = Path(__file__).parents[2]
OF_STORES = (
    "test_booking_store.py",
    "test_window_indexes.py",
    "test_window_limits.py",
    "test_window_pages.py",
    "test_windows.py",
)


def public_names(module: object) -> set[str]:
    """Return the public functions and types of a module."""
    return {
        name
        for name, value in vars(module).items()
        if name in ("Document", "Database", "Collection", "READ_AT_ONCE")
        or (inspect.isfunction(value) and value.__module__ == module.__name__ and name[0] != "_")  # type: ignore[attr-defined]
    } - {"pytest_load_initial_conftests"}


def test_both_clients_have_the_same_public_names() -> None:
    """The modules of both clients have the same public names, so that one can replace the other."""
    assert public_names(pymongo_async) == public_names(connection)


@pytest.mark.timeout(400)
async def test_the_tests_of_the_stores_pass_on_pymongo_async() -> None:
    """The tests of the stores pass unchanged, so stores depend on no feature of motor alone."""
    files = [str(ROOT / "tests" / "integration" / name) for name in OF_STORES]
    command = ("-m", "pytest", "-q", "-p", "tests.pymongo_async", "-p", "no:cacheprovider", *files)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        pytest.fail(output.decode()[-6000:])
    assert b" passed" in output
