"""A server of HTTP that answers what a test says, in the place of a gateway."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple


class Met(NamedTuple):
    """A request: its method, its path with the query, and its body."""

    method: str
    path: str
    body: Any = None


@contextmanager
def canned(*answers: tuple[int, Any] | Callable[[], None] | None) -> Iterator[tuple[str, list[Met]]]:
    """Its URL, and the requests that it meets. None closes the connection without an answer.

    So does a function, once it has returned.
    """
    met: list[Met] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            met.append(Met(self.command, self.path, json.loads(content) if content else None))
            answer = left.pop(0)
            if callable(answer):
                answer()
                return
            if answer is None:
                return
            status, body = answer
            payload = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", met
        finally:
            server.shutdown()
            thread.join()
