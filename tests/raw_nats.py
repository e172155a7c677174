"""A NATS client that sends any bytes, also those that a client library refuses to send."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

CRLF = b"\r\n"
INBOX = "_INBOX.raw"


class RawNats:
    """One connection, for publishing and for replies to its inbox."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def publish(
        self, subject: bytes | str, payload: bytes = b"", *, reply: bytes = b"", headers: bytes = b""
    ) -> None:
        """Publish with an unchanged header block."""
        if isinstance(subject, str):
            subject = subject.encode()
        to = b" ".join(filter(None, (subject, reply)))
        if headers:
            line = b"HPUB %b %d %d" % (to, len(headers), len(headers) + len(payload))
        else:
            line = b"PUB %b %d" % (to, len(payload))
        self._writer.write(b"%b\r\n%b%b\r\n" % (line, headers, payload))
        await self._writer.drain()

    async def flush(self) -> None:
        """Wait until the server has read everything that was sent."""
        self._writer.write(b"PING\r\n")
        async with asyncio.timeout(20):
            while await self._reader.readuntil(CRLF) != b"PONG\r\n":
                pass

    async def ask(self, subject: str, payload: bytes = b"", *, headers: bytes = b"") -> dict[str, Any]:
        """Send a request; return the JSON of the next message to this connection's inbox."""
        self._writer.write(b"SUB %b 1\r\n" % INBOX.encode())
        await self.publish(subject, payload, reply=INBOX.encode(), headers=headers)
        try:
            async with asyncio.timeout(20):
                while True:
                    line = await self._reader.readuntil(CRLF)
                    if line.startswith((b"MSG", b"HMSG")):
                        size = int(line.split()[-1])
                        skipped = int(line.split()[-2]) if line.startswith(b"HMSG") else 0
                        body = (await self._reader.readexactly(size + 2))[skipped:-2]
                        answer: dict[str, Any] = json.loads(body)
                        return answer
        finally:
            self._writer.write(b"UNSUB 1\r\n")


@asynccontextmanager
async def raw_nats(url: str) -> AsyncIterator[RawNats]:
    """Open a raw connection to a server."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 4222)
    await reader.readuntil(CRLF)  # INFO
    writer.write(b'CONNECT {"verbose":false,"headers":true,"no_responders":false}\r\n')
    try:
        yield RawNats(reader, writer)
    finally:
        writer.close()
