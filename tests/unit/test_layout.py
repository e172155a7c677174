"""The layout: who may import whom."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPORT = re.compile(r"^\s*(?:from|import)\s+(\w+)", re.MULTILINE)
SERVICES = ("gateway", "booking_worker", "hold_worker")


def imported(package: str) -> dict[Path, set[str]]:
    """The top-level packages that each module of `package` imports."""
    # Without `ast`: on Python 3.11.7 it fails where a finalizer's exception is formatted meanwhile.
    return {path: set(IMPORT.findall(path.read_text())) for path in (ROOT / package).rglob("*.py")}


def test_the_driver_is_imported_in_one_module() -> None:
    """The day that motor is replaced, one file changes."""
    users = [
        path
        for package in (*SERVICES, "shared")
        for path, names in imported(package).items()
        if "motor" in names
    ]
    assert users == [ROOT / "shared/stores/mongo/connection.py"]


@pytest.mark.parametrize("package", [*SERVICES, "shared"])
def test_services_do_not_import_each_other(package: str) -> None:
    """Services share messages, not code; `shared` knows no service."""
    for path, names in imported(package).items():
        assert not names & (set(SERVICES) - {package}), path


def test_the_gateway_talks_to_nats_alone() -> None:
    """The gateway reaches no database, not even through `shared`."""
    loaded = "import gateway.app, sys; print(*{'motor', 'pymongo', 'redis'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
