"""The one version number of a release."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import shared
from shared.process.metrics import exposition, set_build_info

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("document", ["gateway/docs/openapi.json", "gateway/docs/asyncapi.json"])
def test_document_has_the_version_of_the_package(document: str) -> None:
    """Both documents name the release that they describe."""
    assert json.loads((ROOT / document).read_text())["info"]["version"] == shared.__version__


def test_metrics_name_the_version_of_the_running_source() -> None:
    """The version is also known in an image in which the package is not installed."""
    set_build_info("unit")
    (line,) = re.findall(r'booking_build_info\{.*service="unit".*\}', exposition().decode())
    assert f'version="{shared.__version__}"' in line


@pytest.mark.parametrize("options", [["--version"], ["--version", "day"]])
def test_command_prints_its_version(options: list[str]) -> None:
    """`slotkeeper --version` needs neither a command nor a gateway."""
    command = [sys.executable, "-m", "shared.cli", *options]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == f"slotkeeper {shared.__version__}\n"
