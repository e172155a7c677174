"""Serve the scripts and styles of the pages from memory, so that a slow caller keeps no file open."""

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
    """Read `file` now, and serve its content at `path`."""
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
        range_header = {"Content-Range": f"bytes {part.start}-{part.stop - 1}/{len(content)}"}
        return _stream(206, content[part.start : part.stop], headers | range_header)


def _part(headers: Mapping[str, str], size: int) -> range | None:
    """Return the range of bytes that a request asks for, or None for all bytes.

    A header `Range` that is not one range of bytes is ignored.

    Raises:
        HTTPException: 416, the range begins beyond the end.
            https://www.rfc-editor.org/rfc/rfc9110#section-14.2
    """
    asked = None if "If-Range" in headers else _RANGE.fullmatch(headers.get("Range", ""))
    if asked is None:
        return None
    first, last, suffix = asked.groups()
    start = max(0, size - int(suffix)) if suffix else int(first)
    stop = min(size, int(last) + 1) if last else size
    if last and int(last) < start:
        return None  # not a valid range
    if start >= size:
        raise HTTPException(416, headers={"Content-Range": f"bytes */{size}"})
    return range(start, stop)


def _stream(status: int, content: bytes, headers: dict[str, str]) -> Response:
    """Return a response that is sent in chunks, the next after the last was taken."""

    async def chunks() -> AsyncIterator[bytes]:
        for begins in range(0, len(content), _CHUNK):
            yield content[begins : begins + _CHUNK]

    return StreamingResponse(chunks(), status, headers | {"Content-Length": str(len(content))})
