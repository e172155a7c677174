"""Send inputs to a running stack, and judge each answer and what is left of the processes."""

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from shared.contract.operations import OPERATIONS
from tests.fuzz import inputs
from tests.fuzz.nats_sender import NatsSender

ANSWER_SECONDS = 20.0
EXAMPLES = 50
"""Inputs of one seed: between two seeds the time is looked at."""
BAD_REQUEST, SERVER_ERROR = 400, 500
RETRYABLE = {503, 504}
PATHS = sorted(
    {operation.http.path for operation in OPERATIONS if operation.http} | {"/api/webhooks", "/", "/docs"}
)
SUBJECTS = sorted(
    {operation.subject for operation in OPERATIONS}
    | {operation.many_subject for operation in OPERATIONS if operation.batched}
)
HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "X-Request-Id",
    "X-Forwarded-For",
    "Origin",
    "Accept",
    "Range",
)
NATS_HEADERS = ("Deadline", "Asked-At", "X-Request-Id", "Idempotency-Key", "Caller", "Status")


class Broken(AssertionError):
    """An answer that must not be: the message has the input, so that it can be sent again."""


@dataclass
class Fuzzer:
    """Sends inputs to a gateway and, over NATS, to the workers."""

    url: str
    key: str
    nats: NatsSender
    statuses: dict[str, int] = field(default_factory=dict)

    def run(self, first_seed: int, seconds: float) -> int:
        """Send inputs until the time is over, and return their number.

        Raises:
            Broken: an answer was a 5xx other than 503 and 504, came too late or not at all, or was no JSON.
        """
        ends, number, sent = time.monotonic() + seconds, first_seed, 0
        while time.monotonic() < ends:
            self._over_http(number)
            self._over_nats(number)
            number, sent = number + 1, sent + 2 * EXAMPLES
        return sent

    def _over_http(self, number: int) -> None:
        pieces = st.sampled_from([*PATHS, "/api/live"]) | st.text(max_size=60).map(
            lambda text: f"/api/{text}"
        )
        queries = st.dictionaries(st.sampled_from(inputs.NAMES), inputs.header_texts, max_size=4)

        @_examples(number)
        @given(
            st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS", "HEAD"]),
            pieces,
            queries,
            st.dictionaries(st.sampled_from(HEADERS), inputs.header_texts, max_size=3),
            inputs.bodies,
        )
        def send(method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            if method in ("GET", "HEAD") and path.startswith("/api/live"):
                query = {}  # with a right one, its answer would not end
            self._send(method, path, query, headers, body)

        send()

    def _send(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> None:
        asked = f"{method} {path} {query} {headers} {body!r}"
        target = quote(path.replace("{id}", "x"), safe="/%") + ("?" if query else "")
        target += "&".join(f"{name}={quote(value, safe='%')}" for name, value in query.items())
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **headers}
        server = urlsplit(self.url)
        connection = http.client.HTTPConnection(server.hostname or "", server.port, timeout=ANSWER_SECONDS)
        try:
            connection.request(
                method,
                target,
                body,
                {name: value.encode("latin-1") for name, value in headers.items()},
            )
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"no answer ({type(error).__name__}) to {asked}") from error
        finally:
            connection.close()
        kind = answer.getheader("Content-Type", "")
        is_right = method == "HEAD" or answer.status < BAD_REQUEST or kind.startswith("application/json")
        is_right |= answer.status == BAD_REQUEST and not text  # no head of HTTP: the server answers itself
        self._judge("http", answer.status, asked, is_right=is_right, text=text)

    def _over_nats(self, number: int) -> None:
        @_examples(number)
        @given(
            st.sampled_from(SUBJECTS),
            inputs.bodies,
            st.dictionaries(st.sampled_from(NATS_HEADERS), inputs.header_texts, max_size=3),
        )
        def send(subject: str, payload: bytes, headers: dict[str, str]) -> None:
            asked = f"{subject} {headers} {payload!r}"
            try:
                data = self.nats.ask(subject, payload, headers, ANSWER_SECONDS)
                content = json.loads(data)
            except (TimeoutError, ValueError) as error:
                raise Broken(f"no answer ({type(error).__name__}) to {asked}") from error
            for reply in content.get("replies", [content]):
                self._judge("nats", reply["status"], asked, is_right=isinstance(reply["body"], dict))

        send()

    def _judge(self, way: str, status: int, asked: str, *, is_right: bool, text: bytes = b"") -> None:
        self.statuses[f"{way} {status}"] = self.statuses.get(f"{way} {status}", 0) + 1
        if not is_right or (status >= SERVER_ERROR and status not in RETRYABLE):
            raise Broken(f"{status} {text[:200]!r} to {asked}")


def _examples(number: int) -> Callable[[Any], Callable[[], None]]:
    """Make a test of Hypothesis that sends the inputs of one seed, and shrinks the one that fails."""

    def decorate(test: Any) -> Callable[[], None]:
        configured = settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(test)
        made: Callable[[], None] = seed(number)(configured)
        return made

    return decorate
