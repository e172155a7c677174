"""The error lines of `python -m deploy.initiate`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

from deploy.initiate import reason

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://ada:se/cret-zebra@mongo:27017/booking?replicaSet=rs0",
        "mongodb://ada:se@cret-zebra@mongo:27017/booking?replicaSet=rs0",
        "mongodb://ada:se:cret-zebra@mongo:27017/booking?replicaSet=rs0",
        "mongodb://ada:se?cret-zebra@mongo:27017/booking?replicaSet=rs0",
        "mongodb://ada:se%cret-zebra@mongo:27017/booking?replicaSet=rs0",
        "ada:se-cret-zebra@mongo",
    ],
)
def test_no_part_of_a_password_is_printed(uri: str) -> None:
    """A malformed URI gets one error line that repeats no part of it."""
    result = subprocess.run(
        [sys.executable, "-m", "deploy.initiate"],
        cwd=ROOT,
        env={**os.environ, "MONGO_URI": uri},
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (1, "")
    assert line.startswith("MONGO_URI: the replica set cannot be initiated: ")
    for part in ("ada", "cret", "zebra", "se@", "se:", "se/"):
        assert part not in line


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ServerSelectionTimeoutError("se:1234: Name or service not known"), "no host answered"),
        (OperationFailure("no host se:1234", 74, {"codeName": "NodeNotFound"}), "(NodeNotFound)"),
    ],
)
def test_driver_error_is_printed_without_its_text(error: Exception, sentence: str) -> None:
    """The text names hosts, and a malformed URI may put parts of the password there."""
    assert sentence in reason(error)
    assert "1234" not in reason(error)
