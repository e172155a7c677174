"""A service that keeps every promise, in a few lines: what it answers is a valid history by construction."""

from dataclasses import dataclass, field, replace
from random import Random

from tests.faults.checker.model import BOOKED, HELD
from tests.faults.checker.stories import RESOURCE, SLOT, asked, story
from tests.faults.history import History, Operation, Row

PATIENTS = ("Ada", "Bob", "Cyd", "Dan")
HOLD_SECONDS = 3.0


def valid_history(random: Random, length: int) -> History:
    """Requests for one slot at random moments, each taking effect at one moment between call and answer."""
    service = AtomicService()
    requests = sorted((_request(random) for _ in range(length)), key=lambda each: each[0])
    answered = [_deliver(service.answer(moment, request), random) for moment, request in requests]
    return story(*answered, rows=service.rows)


@dataclass
class AtomicService:
    """One slot and its holds; each request is answered in one step."""

    owner: Operation | None = None
    hold: Operation | None = None
    rows: tuple[Row, ...] = field(default=())

    def answer(self, now: float, request: Operation) -> Operation:
        match request.kind:
            case "get":
                found = self.owner is not None and self.owner.appointment_id == request.appointment_id
                return request if found else replace(request, outcome="refused", status=404)
            case "book":
                return self._book(now, request)
            case _:
                return self._place(now, request)

    def _book(self, now: float, request: Operation) -> Operation:
        if self.owner:
            same = self.owner.key == request.key
            return (
                replace(request, appointment_id=self.owner.appointment_id, replayed=True)
                if same
                else _refused(request, BOOKED)
            )
        if (hold := self._alive(now)) and hold.patient != request.patient:
            return _refused(request, HELD)
        self.owner = replace(request, appointment_id=f"id-{request.patient}")
        id, key = f"id-{request.patient}", str(request.key)
        self.rows = (Row(id, RESOURCE, SLOT, request.patient, key, "booked", created=now),)
        return self.owner

    def _place(self, now: float, request: Operation) -> Operation:
        if self.owner:
            return _refused(request, BOOKED)
        if (hold := self._alive(now)) and hold.token != request.token:
            return _refused(request, HELD)
        self.hold = replace(request, expires=now + HOLD_SECONDS)
        return self.hold

    def _alive(self, now: float) -> Operation | None:
        return self.hold if self.hold and now < (self.hold.expires or 0) else None


def _request(random: Random) -> tuple[float, Operation]:
    """A request that would be granted, and the moment at which it takes effect."""
    moment = random.uniform(1, 10)
    invoked, returned = moment - random.uniform(0, 1), moment + random.uniform(0, 1)
    patient = random.choice(PATIENTS)
    match random.choice(("book", "book", "book", "hold", "get")):
        case "book":
            deadline = moment + random.uniform(0, 1)
            return moment, asked("book", patient, invoked, returned, key=f"key-{patient}", deadline=deadline)
        case "hold":
            return moment, asked("hold", patient, invoked, returned, token=f"token-{patient}")
        case _:
            return moment, asked("get", "", invoked, returned, id=f"id-{patient}")


def _deliver(answer: Operation, random: Random) -> Operation:
    """The answer as its caller got it, if it did."""
    if random.random() < 0.8:
        return answer
    id = answer.appointment_id if answer.kind == "get" else None
    unanswered = replace(answer, appointment_id=id, replayed=False, expires=None, error=None)
    if answer.kind == "book" and answer.outcome == "refused" and random.random() < 0.5:
        return replace(unanswered, outcome="not_executed", status=503)
    return replace(unanswered, outcome="unknown", status=504, returned=random.choice((answer.returned, None)))


def _refused(request: Operation, error: str) -> Operation:
    return replace(request, outcome="refused", status=409, error=error)
