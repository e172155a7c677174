"""Plan the requests of a run, in a site of its own, so that no run meets another booking."""

import random
import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from uuid import uuid4

from tests.callers import Kind
from tests.proof.faults.history import Via
from tests.proof.race.exchanges import Json, Request, Step
from tests.proof.race.options import Options

_FIRST_DAY = datetime(2100, 1, 1, tzinfo=UTC)
DAYS = 290_000


class Planner:
    def __init__(self, options: Options) -> None:
        self._run = secrets.token_hex(6)
        self.site = f"prove-{self._run}"
        self.resources = tuple(f"room-{number}" for number in range(1, options.resources + 1))
        # Midnight is a cell's start on every grid that a deployment can have.
        days = random.sample(range(DAYS), options.slots)
        self.slots = [canonical(_FIRST_DAY + timedelta(days=day)) for day in days]
        self._bookings = options.requests
        self._holds = options.requests if options.holds else 0
        self._transports = cycle(options.transports)
        self._ordinals = count(1)
        self._patients = count(1)
        self._rounds: dict[str, int] = {}

    def race(self, slot: str) -> list[Request]:
        """Return the requests that race for `slot`, shuffled."""
        # A hold takes longer than a booking and would rarely win, so in every second slot it goes first.
        follows = self._holds > 0 and self.slots.index(slot) % 2 == 1
        requests = [
            replace(self.book("race", slot, self.some_resources()), follows=follows)
            for _ in range(self._bookings)
        ]
        requests += [self.hold("race", slot, self.some_resources()) for _ in range(self._holds)]
        random.shuffle(requests)
        return requests

    def some_resources(self) -> tuple[str, ...]:
        """Return one or more of the resources, in random order."""
        return tuple(random.sample(self.resources, random.randint(1, len(self.resources))))

    def book(self, step: Step, slot: str, resources: Iterable[str], **more: str) -> Request:
        """Return a booking; `more` sets its patient or its hold token."""
        return self._patient_request(step, "book", slot, resources, more)

    def hold(self, step: Step, slot: str, resources: Iterable[str]) -> Request:
        return self._patient_request(step, "hold", slot, resources, {"holdToken": str(uuid4())})

    def read(self, slot: str, appointment_id: str, via: Via) -> Request:
        return self._request("read", "get", via, slot, {"id": appointment_id})

    def cancel(self, slot: str, appointment_id: str) -> Request:
        return self._request("cancel", "cancel", next(self._transports), slot, {"id": appointment_id})

    def release(self, held: Request) -> Request:
        body = {name: value for name, value in held.body.items() if name != "patientName"}
        return self._request("release", "release", next(self._transports), held.slot, body)

    def window(self, step: Step, kind: Kind, slot: str, resource: str) -> Request:
        """Request a `list` of bookings or the taken cells (`slots`) of a resource in the slot's minute."""
        until = canonical(datetime.fromisoformat(slot) + timedelta(minutes=1))
        query = {"site": self.site, "resource": resource, "from": slot, "to": until}
        return self._request(step, kind, next(self._transports), slot, query)

    def start_next_round(self, slot: str) -> None:
        """Count the slot's later requests as part of its next race."""
        self._rounds[slot] = self.round(slot) + 1

    def round(self, slot: str) -> int:
        return self._rounds.get(slot, 1)

    def _patient_request(
        self, step: Step, kind: Kind, slot: str, resources: Iterable[str], more: dict[str, str]
    ) -> Request:
        number = next(self._patients)
        body = {
            "slot": _SPELLINGS[number % len(_SPELLINGS)](slot),
            "patientName": f"Patient {number}",
            "site": self.site,
            "resources": [*resources],
            **more,
        }
        return self._request(step, kind, next(self._transports), slot, body)

    def _request(self, step: Step, kind: Kind, via: Via, slot: str, body: Json) -> Request:
        ordinal = next(self._ordinals)
        return Request(ordinal, step, kind, via, slot, f"{self._run}-{ordinal}", body, round=self.round(slot))


def canonical(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _east(slot: str) -> str:
    """The same instant with the offset +02:00."""
    return (datetime.fromisoformat(slot) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S+02:00")


# One instant is one slot in any notation, so callers that write it differently race too.
_SPELLINGS = (str, _east, lambda slot: slot.replace(".000Z", "Z"))
