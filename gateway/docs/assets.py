"""Scripts and styles of the pages, served from memory: a caller who reads slowly keeps no file open."""

import mimetypes
import re
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

_CHUNK = 64 * 1024
_RANGE = re.compile(r"bytes=(?:([0-9]{1,15})-([0-9]{0,15})|-([0-9]{1,15}))")


def add_asset(app: FastAPI, path: str, file: Path) -> None:
    """Serve a file, which is read now, at `path`."""
    content = file.read_bytes()
    headers = {
        "ETag": f'"{sha256(content).hexdigest()[:32]}"',
        "Accept-Ranges": "bytes",
        "Content-Type": mimetypes.guess_type(file.name)[0] or "application/octet-stream",
    }

    @app.get(path, include_in_schema=False)
    async def asset(request: Request) -> Response:
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return Response(status_code=304, headers={"ETag": headers["ETag"]})
        part = _part(request.headers, len(content))
        if part is None:
            return _stream(200, content, headers)
        said = {"Content-Range": f"bytes {part.start}-{part.stop - 1}/{len(content)}"}
        return _stream(206, content[part.start : part.stop], headers | said)


def _part(headers: Mapping[str, str], size: int) -> range | None:
    """The bytes that a request asks for; None if all: it has no range, or another kind of one.

    Raises:
        HTTPException: 416, they lie beyond the end. https://www.rfc-editor.org/rfc/rfc9110#section-14.2
    """
    asked = None if "If-Range" in headers else _RANGE.fullmatch(headers.get("Range", ""))
    if asked is None:
        return None
    first, last, suffix = asked.groups()
    start = max(0, size - int(suffix)) if suffix else int(first)
    stop = min(size, int(last) + 1) if last else size
    if last and int(last) < start:
        return None  # it is no range
    if start >= size:
        raise HTTPException(416, headers={"Content-Range": f"bytes */{size}"})
    return range(start, stop)


def _stream(status: int, content: bytes, headers: dict[str, str]) -> Response:
    """An answer that is given away in pieces, each once the one before was taken."""

    async def pieces() -> AsyncIterator[bytes]:
        for begins in range(0, len(content), _CHUNK):
            yield content[begins : begins + _CHUNK]

    return StreamingResponse(pieces(), status, headers | {"Content-Length": str(len(content))})
