"""Records what callers asked and heard, on one clock."""

import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import count

import httpx
from nats.errors import NoRespondersError, OutboundBufferLimitError

from tests.callers import Answer
from tests.faults.history import REQUEST_TIMEOUT_SECONDS, Operation, Outcome

NOT_SENT = (httpx.ConnectError, NoRespondersError, OutboundBufferLimitError)
LONGEST_ANSWER_SECONDS = 2 * REQUEST_TIMEOUT_SECONDS


class Recorder:
    """The operations of a run, and the answers that no caller should ever get."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.oddities: list[str] = []
        self._began = time.monotonic()
        self._wall_clock_began = time.time()
        self._numbers = count(1)

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def moment(self, instant: datetime) -> float:
        """An instant of the wall clock as seconds since the run began."""
        return instant.timestamp() - self._wall_clock_began

    async def record(self, asked: Operation, send: Callable[[], Awaitable[Answer]]) -> Operation:
        """Send a request and record what came of it; of `asked`, number, times and outcome are not read."""
        asked = replace(asked, number=next(self._numbers), invoked=self.now())
        try:
            heard = self._hear(asked, await send())
        except NOT_SENT as error:
            heard = replace(asked, outcome="not_executed", error=type(error).__name__)
        except (json.JSONDecodeError, KeyError, AssertionError) as error:
            heard = replace(asked, error=type(error).__name__)
            self._note(asked, f"an answer that cannot be read: {type(error).__name__}")
        except Exception as error:
            heard = replace(asked, error=type(error).__name__)
        heard = replace(heard, returned=(returned := self.now()))
        if asked.kind == "book" and asked.via == "http":
            # A busy gateway may have received it late; it answers once its time is up.
            heard = replace(heard, deadline=max(asked.invoked + REQUEST_TIMEOUT_SECONDS, returned))
        self.operations.append(heard)
        return heard

    def _hear(self, asked: Operation, answer: Answer) -> Operation:
        body = answer.body
        heard = replace(
            asked,
            outcome=_outcome(answer.status),
            status=answer.status,
            error=body.get("error"),
            replayed=answer.headers.get("idempotency-replayed") == "true",
        )
        for oddity in (*_oddities(answer, heard, self.now() - asked.invoked), *_mismatches(answer, heard)):
            self._note(asked, f"{answer.status} {oddity}")
        if asked.kind == "book" and heard.outcome == "ok":
            return replace(heard, appointment_id=body["appointment"]["id"])
        if asked.kind == "hold" and heard.outcome == "ok":
            return replace(heard, expires=self.moment(datetime.fromisoformat(body["hold"]["expiresAt"])))
        return heard

    def _note(self, asked: Operation, oddity: str) -> None:
        self.oddities.append(f"#{asked.number} {asked.invoked:.3f} s {asked.kind} via {asked.via}: {oddity}")


def _outcome(status: int) -> Outcome:
    if status < 300:
        return "ok"
    if status < 500:
        return "refused"
    return "not_executed" if status == 503 else "unknown"


def _oddities(answer: Answer, heard: Operation, seconds: float) -> Iterator[str]:
    expected = {"book": (201, 409, 422), "hold": (200, 409), "get": (200, 404)}[heard.kind]
    if answer.status not in (*expected, 503, 504):
        yield f"is no answer to expect: {heard.error}"
    if answer.status >= 500 and "retry-after" not in answer.headers:
        yield "came without Retry-After"
    if answer.status >= 500 and answer.body.get("outcome") != heard.outcome:
        yield "came with the wrong outcome"
    if seconds > LONGEST_ANSWER_SECONDS:
        yield f"came after {seconds:.1f} s"


def _mismatches(answer: Answer, heard: Operation) -> Iterator[str]:
    """Where a 2xx tells of something else than was asked for."""
    if heard.outcome != "ok":
        return
    told = answer.body["hold" if heard.kind == "hold" else "appointment"]
    wanted: dict[str, object] = {
        "site": heard.site,
        "resources": sorted(heard.resources),
        "slot": heard.slot,
    }
    if heard.kind == "hold":
        wanted |= {"token": heard.token} if heard.token else {}
    else:
        wanted |= {"patientName": heard.patient, "status": "booked"}
    if heard.kind == "get":
        wanted |= {"id": heard.appointment_id}
    for field, value in wanted.items():
        if told[field] != value:
            yield f"tells of another {field}"
