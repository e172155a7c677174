"""The programs that the benchmark needs: wrk, node, npm, and the packages of the Express monolith."""

import shutil
import subprocess
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.process import ROOT
from tests.node import install_packages

WORK = ROOT / ".local" / "bench"
EXPRESS = Path(__file__).parent / "monoliths" / "express"
PACKAGES = {"wrk": "wrk", "node": "nodejs npm", "npm": "nodejs npm"}
OLDEST_NODE = (20, 19)


def find_program(name: str) -> str:
    """Return the path of a program.

    Raises:
        StackError: The program is missing; the message names its package.
    """
    if path := shutil.which(name):
        return path
    raise StackError(f"{name} is not on PATH; on Debian: apt-get install {PACKAGES[name]}")


def install_express() -> Path:
    """Install the Express monolith beside the results, outside the source tree, and return its folder.

    Raises:
        StackError: node or npm is missing or too old, or npm cannot install; the message names the reason.
    """
    node, npm = find_program("node"), find_program("npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(int(part) for part in version.lstrip("v").split(".")[:2]) < OLDEST_NODE:
        raise StackError(f"node is {version}; Mongoose needs 20.19 or later")
    folder = WORK / "express"
    install_packages(npm, EXPRESS / "package.json", folder, "--omit=dev")
    shutil.copy(EXPRESS / "server.js", folder)
    return folder
