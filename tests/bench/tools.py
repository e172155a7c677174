"""What the benchmark needs beside Python: wrk, node, npm, and the packages of the Express monolith."""

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


def find(name: str) -> str:
    """The path of a program.

    Raises:
        StackError: it is not there; the line says how to get it.
    """
    if path := shutil.which(name):
        return path
    raise StackError(f"{name} is not on PATH; on Debian: apt-get install {PACKAGES[name]}")


def install_express() -> Path:
    """The folder of the Express monolith, with its packages: a copy beside the results, not in the tree.

    Raises:
        StackError: node or npm is missing or too old, or npm cannot install; the line says so.
    """
    node, npm = find("node"), find("npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(int(part) for part in version.lstrip("v").split(".")[:2]) < OLDEST_NODE:
        raise StackError(f"node is {version}; Mongoose needs 20.19 or later")
    folder = WORK / "express"
    install_packages(npm, EXPRESS / "package.json", folder, "--omit=dev")
    shutil.copy(EXPRESS / "server.js", folder)
    return folder
