"""The files of the pages, in memory: scripts, styles and texts, with their compressed forms."""

import gzip
import mimetypes
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response

STATIC = Path(__file__).with_name("static")
_IMPORT = re.compile(
    r"""^\s*(?:import\s*|(?:import|export)\b[^"';]*\bfrom\s*)["'](\.[^"']+)["']""", re.MULTILINE
)
_SMALLEST_COMPRESSED = 512
_FOR_EVER, _ASK_EACH_TIME = "public, max-age=31536000, immutable", "no-cache"


@dataclass(frozen=True)
class Asset:
    """A file that is served, with its type."""

    content: bytes
    media_type: str

    @cached_property
    def etag(self) -> str:
        return f'"{sha256(self.content).hexdigest()[:32]}"'

    @cached_property
    def compressed(self) -> bytes | None:
        """The content in gzip; None if that is not worth it."""
        compressed = gzip.compress(self.content, mtime=0)
        return compressed if _SMALLEST_COMPRESSED < len(compressed) < len(self.content) else None

    def response(self, asked: Headers, headers: Mapping[str, str], *vary: str) -> Response:
        """Return the response to a request with the headers `asked`; `headers` are added to it."""
        own = {**headers, "ETag": self.etag, "Vary": ", ".join(["Accept-Encoding", *vary])}
        if self.etag in asked.get("If-None-Match", ""):
            return Response(status_code=304, headers=own)
        own["Content-Type"] = self.media_type
        if self.compressed is None or "gzip" not in asked.get("Accept-Encoding", ""):
            return Response(self.content, headers=own)
        return Response(self.compressed, headers={**own, "Content-Encoding": "gzip"})


class Assets:
    """All files of a folder, by their path in it. `version` is a digest of all of them.

    A path with the version in it may be kept for ever, so the imports of modules cost no round trip on a
    second visit. Other files than those of the folder have no path here.
    """

    def __init__(self, folder: Path = STATIC) -> None:
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        self._assets = {file.relative_to(folder).as_posix(): _read(file) for file in files}
        digest = sha256()
        for path, asset in self._assets.items():
            digest.update(f"{path} {asset.etag}\n".encode())
        self.version = digest.hexdigest()[:12]

    def __getitem__(self, path: str) -> Asset:
        return self._assets[path]

    def add(self, path: str, asset: Asset) -> None:
        """Serve one more file, which is made of the others."""
        self._assets[path] = asset

    def __contains__(self, path: str) -> bool:
        return path in self._assets

    def response(self, version: str, path: str, asked: Headers) -> Response | None:
        """Return the response with a file, or None if there is no such file.

        A page of another release asks for another version. It gets the file of this one, and keeps it not.
        """
        asset = self._assets.get(path)
        if asset is None:
            return None
        caching = _FOR_EVER if version == self.version else _ASK_EACH_TIME
        return asset.response(asked, {"Cache-Control": caching})

    def modules_of(self, path: str) -> list[str]:
        """Return the paths of a module and of all that it imports, each after those that it imports."""
        found, seen = list[str](), set[str]()

        def visit(module: str) -> None:
            seen.add(module)
            folder = posixpath.dirname(module)
            for name in _IMPORT.findall(self._assets[module].content.decode()):
                imported = posixpath.normpath(posixpath.join(folder, name))
                if imported not in seen:
                    visit(imported)
            found.append(module)

        visit(path)
        return found


def _read(file: Path) -> Asset:
    guessed = {".js": "text/javascript"}.get(file.suffix) or mimetypes.guess_type(file.name)[0]
    media_type = guessed or "application/octet-stream"
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    return Asset(file.read_bytes(), media_type)
