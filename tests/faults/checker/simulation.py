"""A service that keeps every promise, in a few lines: what it answers is a valid history by construction."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

from tests.faults.checker.model import BOOKED, HELD
from tests.faults.checker.stories import RESOURCES, SITE, SLOT, asked, story
from tests.faults.history import Claim, History, Operation, Row

PATIENTS = ("Ada", "Bob", "Cyd", "Dan")
HOLD_SECONDS = 3.0
Wishes = dict[str, tuple[str, ...]]
"""The resources that each patient wants."""


def valid_history(random: Random, length: int, resources: tuple[str, ...] = RESOURCES) -> History:
    """Requests at random moments, each taking effect at one moment between call and answer.

    Each patient wants some of the resources, of one and the same instant.
    """
    wishes = {patient: some_of(random, resources) for patient in PATIENTS}
    service = AtomicService()
    requests = sorted((_request(random, wishes) for _ in range(length)), key=lambda each: each[0])
    answered = [_deliver(service.answer(moment, request), random) for moment, request in requests]
    return story(*answered, rows=service.rows)


def some_of(random: Random, resources: tuple[str, ...]) -> tuple[str, ...]:
    """One or more of the resources, sorted."""
    return tuple(sorted(random.sample(resources, random.randint(1, len(resources)))))


@dataclass
class AtomicService:
    """Owners and holds of claims; a request is answered in one step, and gets all of its claims or none."""

    owners: dict[Claim, Operation] = field(default_factory=dict)
    holds: dict[Claim, Operation] = field(default_factory=dict)
    rows: tuple[Row, ...] = field(default=())

    def answer(self, now: float, request: Operation) -> Operation:
        match request.kind:
            case "get":
                found = any(owner.appointment_id == request.appointment_id for owner in self.owners.values())
                return request if found else replace(request, outcome="refused", status=404)
            case "book":
                return self._book(now, request)
            case _:
                return self._place(now, request)

    def _book(self, now: float, request: Operation) -> Operation:
        owners = [self.owners[claim] for claim in request.claims if claim in self.owners]
        if own := next((owner for owner in owners if owner.key == request.key), None):
            return replace(request, appointment_id=own.appointment_id, replayed=True)
        if owners:
            return _refused(request, BOOKED)
        if any(hold.patient != request.patient for hold in self._alive(now, request)):
            return _refused(request, HELD)
        id, key = f"id-{request.patient}", str(request.key)
        made = replace(request, appointment_id=id)
        self.owners |= dict.fromkeys(request.claims, made)
        row = Row(id, SITE, request.resources, SLOT, request.patient, key, "booked", created=now)
        self.rows = (*self.rows, row)
        return made

    def _place(self, now: float, request: Operation) -> Operation:
        if any(claim in self.owners for claim in request.claims):
            return _refused(request, BOOKED)
        if any(hold.token != request.token for hold in self._alive(now, request)):
            return _refused(request, HELD)
        placed = replace(request, expires=now + HOLD_SECONDS)
        self.holds |= dict.fromkeys(request.claims, placed)
        return placed

    def _alive(self, now: float, request: Operation) -> Iterator[Operation]:
        holds = (self.holds[claim] for claim in request.claims if claim in self.holds)
        return (hold for hold in holds if now < (hold.expires or 0))


def _request(random: Random, wishes: Wishes) -> tuple[float, Operation]:
    """A request that would be granted, and the moment at which it takes effect."""
    moment = random.uniform(1, 10)
    invoked, returned = moment - random.uniform(0, 1), moment + random.uniform(0, 1)
    patient = random.choice(PATIENTS)
    resources = wishes[patient]
    match random.choice(("book", "book", "book", "hold", "get")):
        case "book":
            deadline, key = moment + random.uniform(0, 1), f"key-{patient}"
            asks = asked("book", patient, invoked, returned, key=key, deadline=deadline, resources=resources)
        case "hold":
            asks = asked("hold", patient, invoked, returned, token=f"token-{patient}", resources=resources)
        case _:
            asks = asked("get", "", invoked, returned, id=f"id-{patient}", resources=resources)
    return moment, asks


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
