"""The Makefile, with a fake Python that records its arguments."""

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil

from tests.stack import wait_until

ROOT = Path(__file__).parents[2]
NOTES = """#!/bin/sh
case "$*" in
*venv*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
*pip*) echo pip >> notes; while ! test -e done; do sleep 0.05; done ;;
esac
"""


def test_concurrent_makes_install_once(tmp_path: Path) -> None:
    """The second make waits for the first to install, and then installs nothing."""
    (tmp_path / "deploy").mkdir()
    for name in ("Makefile", "pyproject.toml", "deploy/constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    python, notes = tmp_path / "python", tmp_path / "notes"
    python.write_text(NOTES)
    python.chmod(0o755)
    command = ["make", "-s", f"PYTHON={python}", "env"]
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        wait_until(notes.exists, "the first installs")
        second = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        wait_until(lambda: _runs(second.pid, "flock") or notes.read_text() != "pip\n", "the second waits")
    finally:
        (tmp_path / "done").touch()
    output, _ = second.communicate(timeout=60)
    assert (first.wait(60), second.returncode, output) == (0, 0, "")
    assert notes.read_text() == "pip\n"


def _runs(pid: int, name: str) -> bool:
    with suppress(psutil.NoSuchProcess):
        return any(child.name() == name for child in psutil.Process(pid).children(recursive=True))
    return False
