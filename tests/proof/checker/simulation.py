"""A small service that keeps every promise: the histories of its answers are valid by construction."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random

from tests.proof.checker.builders import RESOURCES, SITE, SLOT, asked, record
from tests.proof.checker.model import BOOKED, CANCELLED, HELD
from tests.proof.faults.history import History, Operation, Row
from tests.proof.faults.places import BookingState, Change, Claim, Place

PATIENTS = ("Ada", "Bob", "Cyd", "Dan")
HOLD_SECONDS = 3.0
MOVES = 3
LATER = "2031-05-04T09:15:00.000Z"
Wishes = dict[tuple[str, int], tuple[str, ...]]
"""The resources that each patient wants, at first and after each move."""
BOOKINGS = ("book", "book", "book", "hold", "get")
LIFE = (*BOOKINGS, "book", "book", "cancel", "move", "move", "move", "history", "list", "slots", "release")


def valid_history(
    random: Random, length: int, resources: tuple[str, ...] = RESOURCES, kinds: tuple[str, ...] = BOOKINGS
) -> History:
    """Send requests at random times, each taking effect at one moment between call and answer.

    Each patient wants some of the resources at one instant, and moves to others.
    """
    wishes = {(patient, n): some_of(random, resources) for patient in PATIENTS for n in range(MOVES + 1)}
    service = AtomicService()
    requests = (_request(random, wishes, random.choice(kinds)) for _ in range(length))
    answered = [
        _deliver(service.answer(moment, request), random)
        for moment, request in sorted(requests, key=lambda each: each[0])
    ]
    return record(*answered, rows=tuple(service.rows()))


def some_of(random: Random, resources: tuple[str, ...]) -> tuple[str, ...]:
    """One or more of the resources, sorted."""
    return tuple(sorted(random.sample(resources, random.randint(1, len(resources)))))


@dataclass
class AtomicService:
    """Bookings with their changes, and holds of claims; each request is executed in one atomic step."""

    bookings: dict[str, tuple[Change, ...]] = field(default_factory=dict)
    holds: dict[Claim, Operation] = field(default_factory=dict)
    moved: set[tuple[str, str | None]] = field(default_factory=set)
    """The executed moves, those without a change included."""

    def answer(self, now: float, request: Operation) -> Operation:
        match request.kind:
            case "book":
                return self._book(now, request)
            case "move":
                return self._move(now, request)
            case "cancel":
                return self._cancel(now, request)
            case "hold":
                return self._place(now, request)
            case "release":
                return self._release(now, request)
            case "list":
                return replace(request, listed=tuple(self._listed(request)))
            case "slots":
                return replace(request, taken=tuple(self._taken(now, request)))
            case _:
                return self._read(request)

    def rows(self) -> Iterator[Row]:
        for id, changes in self.bookings.items():
            patient, state, place = id.removeprefix("id-"), self._state(id), changes[-1].place
            yield Row(
                id,
                SITE,
                place.resources,
                place.slot,
                patient,
                f"key-{patient}",
                state.status,
                created=changes[0].at,
                minutes=place.minutes,
                version=len(changes),
                history=changes,
                stored=place.claims,
            )

    def _book(self, now: float, request: Operation) -> Operation:
        id = f"id-{request.patient}"
        if id in self.bookings and self._state(id).status == "cancelled":
            return replace(_refused(request, CANCELLED), appointment_id=id, told=self._state(id))
        if id in self.bookings:
            return replace(request, appointment_id=id, replayed=True, told=self._state(id))
        if refusal := self._in_the_way(now, request, id, request.place):
            return refusal
        self._change(now, id, "booked", request.place, None)
        self._use_up(request, request.place)
        return replace(request, appointment_id=id, told=self._state(id))

    def _move(self, now: float, request: Operation) -> Operation:
        id = str(request.appointment_id)
        if id not in self.bookings:
            return _refused(request, "No such appointment", 404)
        if self._state(id).status == "cancelled":
            return replace(_refused(request, CANCELLED), told=self._state(id))
        if (id, request.move_id) in self.moved:
            return replace(request, told=self._state(id))
        before = self.bookings[id][-1].place
        place = before.moved(request.place)
        if refusal := self._in_the_way(now, request, id, place):
            return refusal
        self.moved.add((id, request.move_id))
        if place != before:
            self._change(now, id, "moved", place, request.move_id)
            self._use_up(request, place)
        return replace(request, told=self._state(id))

    def _cancel(self, now: float, request: Operation) -> Operation:
        id = str(request.appointment_id)
        if id not in self.bookings:
            return _refused(request, "No such appointment", 404)
        if self._state(id).status == "booked":
            self._change(now, id, "cancelled", self.bookings[id][-1].place, None)
        return replace(request, told=self._state(id))

    def _read(self, request: Operation) -> Operation:
        id = str(request.appointment_id)
        if id not in self.bookings:
            return _refused(request, "No such appointment", 404)
        if request.kind == "get":
            return replace(request, told=self._state(id))
        told = tuple(replace(each, move_id=None, at=None) for each in self.bookings[id])
        return replace(request, changes=told)

    def _listed(self, request: Operation) -> Iterator[tuple[str, BookingState]]:
        for id in self.bookings:
            state = self._state(id)
            there = set(request.resources) <= set(state.place.resources)
            if state.status == "booked" and there and state.place.overlaps(request.slot, request.until):
                yield id, state

    def _taken(self, now: float, request: Operation) -> Iterator[tuple[str, str]]:
        for slot in (SLOT, LATER):
            claims = Place(SITE, request.resources, slot).claims
            if any(claim in self._owners() for claim in claims):
                yield slot, "booked"
            elif any(self._alive(now, claims)):
                yield slot, "held"

    def _place(self, now: float, request: Operation) -> Operation:
        if any(claim in self._owners() for claim in request.claims):
            return _refused(request, BOOKED)
        if any(hold.token != request.token for hold in self._alive(now, request.claims)):
            return _refused(request, HELD)
        placed = replace(request, expires=now + HOLD_SECONDS)
        self.holds |= dict.fromkeys(request.claims, placed)
        return placed

    def _release(self, now: float, request: Operation) -> Operation:
        if not any(hold.token == request.token for hold in self._alive(now, frozenset(self.holds))):
            return _refused(request, "No such hold", 404)
        self._drop(lambda hold: hold.token == request.token)
        return request

    def _in_the_way(self, now: float, request: Operation, id: str, place: Place) -> Operation | None:
        if any(self._owners().get(claim, id) != id for claim in place.claims):
            return _refused(request, BOOKED)
        if any(hold.patient != request.patient for hold in self._alive(now, place.claims)):
            return _refused(request, HELD)
        return None

    def _change(self, now: float, id: str, type: str, place: Place, move_id: str | None) -> None:
        before = self.bookings.get(id, ())
        self.bookings[id] = (*before, Change(type, place, len(before) + 1, move_id, now))  # type: ignore[arg-type]

    def _use_up(self, request: Operation, place: Place) -> None:
        tokens = {hold.token for claim, hold in self.holds.items() if claim in place.claims}
        self._drop(lambda hold: hold.token in tokens and hold.patient == request.patient)

    def _drop(self, gone: Callable[[Operation], bool]) -> None:
        self.holds = {claim: hold for claim, hold in self.holds.items() if not gone(hold)}

    def _state(self, id: str) -> BookingState:
        last = self.bookings[id][-1]
        return BookingState(last.place, "cancelled" if last.type == "cancelled" else "booked")

    def _owners(self) -> dict[Claim, str]:
        active = [id for id in self.bookings if self._state(id).status == "booked"]
        return {claim: id for id in active for claim in self._state(id).place.claims}

    def _alive(self, now: float, claims: frozenset[Claim]) -> Iterator[Operation]:
        holds = (self.holds[claim] for claim in claims if claim in self.holds)
        return (hold for hold in holds if now < (hold.expires or 0))


def _request(random: Random, wishes: Wishes, kind: str) -> tuple[float, Operation]:
    """Build a request, as if it succeeds, and the moment at which it takes effect."""
    moment = random.uniform(1, 10)
    invoked, returned = moment - random.uniform(0, 1), moment + random.uniform(0, 1)
    patient, deadline = random.choice(PATIENTS), moment + random.uniform(0, 1)
    id, first = f"id-{patient}", wishes[patient, 0]
    match kind:
        case "book":
            key = f"key-{patient}"
            asks = asked("book", patient, invoked, returned, key=key, deadline=deadline, resources=first)
        case "hold" | "release":
            token = f"token-{patient}"
            asks = asked(kind, patient, invoked, returned, token=token, resources=first)
        case "move":
            number = random.randint(1, MOVES)
            to, move_id = wishes[patient, number], f"m{number}-{patient}"
            asks = asked("move", patient, invoked, returned, id=id, resources=to, move_id=move_id)
            # Move 1 changes the resources, move 2 the slot, move 3 both.
            asks = replace(asks, slot=("", LATER, SLOT)[number - 1], deadline=deadline)
            asks = replace(asks, resources=()) if number == 2 else asks
        case "cancel":
            asks = asked("cancel", patient, invoked, returned, id=id, deadline=deadline)
        case "list" | "slots":
            asks = asked(kind, "", invoked, returned, resources=first[:1])
            asks = replace(asks, until="2031-05-04T09:30:00.000Z")
        case _:
            asks = asked(kind, "", invoked, returned, id=id, resources=first)  # type: ignore[arg-type]
    return moment, asks


def _deliver(answer: Operation, random: Random) -> Operation:
    """The answer as its caller receives it, or a lost answer."""
    if random.random() < 0.8:
        return answer
    id = None if answer.kind == "book" else answer.appointment_id
    unanswered = replace(
        answer,
        appointment_id=id,
        replayed=False,
        expires=None,
        error=None,
        told=None,
        changes=None,
        listed=(),
        taken=(),
    )
    if answer.kind in ("book", "move", "cancel") and answer.outcome == "refused" and random.random() < 0.5:
        return replace(unanswered, outcome="not_executed", status=503)
    return replace(unanswered, outcome="unknown", status=504, returned=random.choice((answer.returned, None)))


def _refused(request: Operation, error: str, status: int = 409) -> Operation:
    return replace(request, outcome="refused", status=status, error=error)
