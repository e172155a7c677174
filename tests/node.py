"""Install npm packages for Node programs, in a folder outside the tree's sources."""

import subprocess
from pathlib import Path

from deploy.local.errors import StackError

OPTIONS = ("--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")


def install_packages(npm: str, wanted: Path, folder: Path, *options: str) -> None:
    """Install the packages of `wanted`, a package.json, in `folder`, unless they are installed already.

    Raises:
        StackError: npm cannot install them; the message is npm's first line.
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
        lines = installing.stderr.strip().splitlines() or ["npm printed no reason"]
        raise StackError(f"npm install in {folder} failed: {lines[0]}")
    ready.touch()
