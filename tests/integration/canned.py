"""An HTTP server with canned answers, in the place of a gateway."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Request:
    """A received request: its method, path with query, body and headers."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict, compare=False)


@contextmanager
def canned(
    *answers: tuple[int, Any] | Callable[[], None] | None, headers: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[str, list[Request]]]:
    """Yield the server's URL and the list of requests that it receives.

    Each request gets the next answer: a status and a body. The server closes the connection without an answer
    if the answer is None, or a function, which it calls first.
    """
    received: list[Request] = []
    remaining = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(content) if content else None
            received.append(Request(self.command, self.path, body, dict(self.headers)))
            answer = remaining.pop(0)
            if callable(answer):
                answer()
                return
            if answer is None:
                return
            status, body = answer
            payload = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            if payload.startswith(b"event: "):
                self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", received
        finally:
            server.shutdown()
            thread.join()
