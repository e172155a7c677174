"""Packages of npm for what runs in Node: in a folder beside the results, not in the tree."""

import subprocess
from pathlib import Path

from deploy.local.errors import StackError

OPTIONS = ("--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")


def install_packages(npm: str, wanted: Path, folder: Path, *options: str) -> None:
    """Have the packages of `wanted`, a package.json, in `folder`; those that are there are left alone.

    Raises:
        StackError: npm cannot install them; the line says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    installed, ready = folder / "package.json", folder / "node_modules" / ".ready"
    if ready.is_file() and installed.read_text() == wanted.read_text():
        return
    installed.write_text(wanted.read_text())
    installing = subprocess.run(
        [npm, "install", *OPTIONS, *options], cwd=folder, capture_output=True, text=True, check=False
    )
    if installing.returncode:
        lines = installing.stderr.strip().splitlines() or ["it says nothing"]
        raise StackError(f"npm install in {folder} failed: {lines[0]}")
    ready.touch()
