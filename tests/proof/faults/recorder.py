"""Record the requests and answers of all callers, on one clock."""

import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import Any

import httpx
from nats.errors import NoRespondersError, OutboundBufferLimitError

from tests.callers import Answer, Kind
from tests.proof.faults.history import REQUEST_TIMEOUT_SECONDS, Operation, Outcome
from tests.proof.faults.places import BookingState, Change, Place, Service, cells

NOT_SENT = (httpx.ConnectError, NoRespondersError, OutboundBufferLimitError)
LONGEST_ANSWER_SECONDS = 2 * REQUEST_TIMEOUT_SECONDS
CHANGING = ("book", "move", "cancel", "amend")
CANCELLED = "Appointment is cancelled"
EXPECTED: dict[Kind, tuple[int, ...]] = {
    "book": (201, 409, 422),
    "hold": (200, 409),
    "release": (200, 404),
    "get": (200, 404),
    "cancel": (200, 404),
    "move": (200, 404, 409, 422),
    "amend": (200, 404, 409),
    "history": (200, 404),
    "list": (200,),
    "slots": (200,),
    "erase": (200, 404),
}


class Recorder:
    """The operations of a run, and the answers that break the contract."""

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
        """Convert an instant of the wall clock to seconds since the run began."""
        return instant.timestamp() - self._wall_clock_began

    async def record(self, asked: Operation, send: Callable[[], Awaitable[Answer]]) -> Operation:
        """Send a request and record the outcome; number, times and outcome of `asked` are overwritten."""
        asked = replace(asked, number=next(self._numbers), invoked=self.now())
        try:
            answered = self._read_answer(asked, await send())
        except NOT_SENT as error:
            answered = replace(asked, outcome="not_executed", error=type(error).__name__)
        except (json.JSONDecodeError, KeyError, AssertionError) as error:
            answered = replace(asked, error=type(error).__name__)
            self._note(asked, f"an answer that cannot be read: {type(error).__name__}")
        except Exception as error:
            answered = replace(asked, error=type(error).__name__)
        answered = replace(answered, returned=(returned := self.now()))
        if asked.kind in CHANGING and asked.via == "http":
            # A paused gateway reads the request late, and answers when its own timeout is over.
            spare = LONGEST_ANSWER_SECONDS if answered.status is None else 0.0
            latest = max(asked.invoked + REQUEST_TIMEOUT_SECONDS, returned + spare)
            answered = replace(answered, deadline=latest)
        self.operations.append(answered)
        return answered

    def _read_answer(self, asked: Operation, answer: Answer) -> Operation:
        body = answer.body
        answered = replace(
            asked,
            outcome=_outcome(answer.status),
            status=answer.status,
            error=body.get("error"),
            error_type=answer.headers.get("error-type"),
            replayed=answer.headers.get("idempotency-replayed") == "true",
        )
        for oddity in (
            *_oddities(answer, answered, self.now() - asked.invoked),
            *_mismatches(answer, answered),
        ):
            self._note(asked, f"{answer.status} {oddity}")
        if answered.outcome == "ok":
            return replace(answered, **self._content(answered, body))
        if answered.error == CANCELLED and isinstance(appointment := body.get("appointment"), dict):
            return replace(answered, appointment_id=appointment["id"], told=booking_state(appointment))
        return answered

    def _content(self, answered: Operation, body: dict[str, Any]) -> dict[str, Any]:
        """Return the content of a 2xx as fields of the operation."""
        match answered.kind:
            case "hold":
                return {"expires": self.moment(datetime.fromisoformat(body["hold"]["expiresAt"]))}
            case "history":
                return {"changes": tuple(self._change(each, answered.site) for each in body["history"])}
            case "list":
                return {"listed": tuple((each["id"], booking_state(each)) for each in body["appointments"])}
            case "slots":
                told = ((each, cells(each["slot"], each.get("durationMinutes"))) for each in body["taken"])
                return {"taken": tuple((instant, each["state"]) for each, all in told for instant in all)}
            case "release" | "erase":
                return {}
            case _:
                appointment = body["appointment"]
                return {"appointment_id": appointment["id"], "told": booking_state(appointment)}

    def _change(self, entry: dict[str, Any], site: str) -> Change:
        at = self.moment(datetime.fromisoformat(entry["at"]))
        return Change(
            entry["type"], place_of(entry, site), entry["version"], None, at, entry.get("attendance")
        )

    def _note(self, asked: Operation, oddity: str) -> None:
        self.oddities.append(f"#{asked.number} {asked.invoked:.3f} s {asked.kind} via {asked.via}: {oddity}")


def _outcome(status: int) -> Outcome:
    if status < 300:
        return "ok"
    if status < 500:
        return "refused"
    return "not_executed" if status == 503 else "unknown"


def _oddities(answer: Answer, answered: Operation, seconds: float) -> Iterator[str]:
    if answer.status not in (*EXPECTED[answered.kind], 503, 504):
        yield f"is not an expected answer: {answered.error}"
    if answer.status >= 500 and "retry-after" not in answer.headers:
        yield "came without Retry-After"
    if answer.status >= 500 and answer.body.get("outcome") != answered.outcome:
        yield "came with the wrong outcome"
    if seconds > LONGEST_ANSWER_SECONDS:
        yield f"came after {seconds:.1f} s"


def _mismatches(answer: Answer, answered: Operation) -> Iterator[str]:
    """Compare a 2xx with its request. The checker judges where the booking lies."""
    body = answer.body
    if answered.kind in ("list", "slots") and "next" in body:
        yield "is only a page"
    cancelled = answered.error == CANCELLED
    told = body.get("hold" if answered.kind == "hold" else "appointment")
    if cancelled and told is None:
        yield "is without the appointment"
    if (
        told is None
        and answered.outcome == "ok"
        and answered.kind in ("book", "hold", "get", "cancel", "move", "amend")
    ):
        yield "contains no booking and no hold"
    if told is None:
        return
    wanted: dict[str, object] = {"site": answered.site}
    if answered.kind in ("book", "hold"):
        wanted |= {
            "resources": sorted(answered.resources),
            "slot": answered.slot,
            "durationMinutes": answered.minutes,
            "service": answered.service.id if answered.service else None,
        }
    if answered.replayed or cancelled:  # the booking may have moved since
        wanted = {"site": answered.site}
    if answered.kind == "hold":
        wanted |= {"token": answered.token} if answered.token else {}
    else:
        # The checker judges whether a name may be absent.
        wanted |= {"patientName": answered.patient} if "patientName" in told else {}
    if answered.kind in CHANGING:
        wanted |= {"status": "cancelled" if cancelled or answered.kind == "cancel" else "booked"}
    if answered.kind != "book" and answered.appointment_id:
        wanted |= {"id": answered.appointment_id}
    for field, value in wanted.items():
        if told.get(field) != value:
            yield f"tells of another {field}"


def booking_state(appointment: dict[str, Any]) -> BookingState:
    named, attendance = "patientName" in appointment, appointment.get("attendance")
    return BookingState(place_of(appointment), appointment["status"], named, attendance)


def place_of(told: dict[str, Any], site: str = "") -> Place:
    """Read a booking's place from an appointment, or from a history entry, which names no site."""
    minutes, service = told.get("durationMinutes"), Service.of(told)
    return Place(told.get("site", site), tuple(told["resources"]), told["slot"], minutes, service)
