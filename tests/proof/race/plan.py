"""Plans who asks for what, in a site of its own, so that no run meets another booking."""

import random
import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from uuid import uuid4

from tests.proof.race.operations import Ask, Json, Kind, Step
from tests.proof.race.options import Options, Via

_FIRST_DAY = datetime(2100, 1, 1, tzinfo=UTC)
DAYS = 290_000


class Planner:
    def __init__(self, options: Options) -> None:
        self._run = secrets.token_hex(6)
        self.site = f"prove-{self._run}"
        self.resources = tuple(f"room-{number}" for number in range(1, options.resources + 1))
        # Midnight lies on every grid that a deployment can have.
        days = random.sample(range(DAYS), options.slots)
        self.slots = [canonical(_FIRST_DAY + timedelta(days=day)) for day in days]
        self._bookings = options.requests
        self._holds = options.requests if options.holds else 0
        self._transports = cycle(options.transports)
        self._ordinals = count(1)
        self._patients = count(1)
        self._rounds: dict[str, int] = {}

    def race(self, slot: str) -> list[Ask]:
        """Everyone who wants `slot` at once, in no particular order."""
        # A hold takes longer than a booking and would hardly ever win; in every second slot it can.
        follows = self._holds > 0 and self.slots.index(slot) % 2 == 1
        asks = [replace(self.book("race", slot, self.some()), follows=follows) for _ in range(self._bookings)]
        asks += [self.hold("race", slot, self.some()) for _ in range(self._holds)]
        random.shuffle(asks)
        return asks

    def some(self) -> tuple[str, ...]:
        """One or more of the resources, in no particular order."""
        return tuple(random.sample(self.resources, random.randint(1, len(self.resources))))

    def book(self, step: Step, slot: str, resources: Iterable[str], **more: str) -> Ask:
        """A booking; `more` names its patient or its hold's token."""
        return self._want(step, "book", slot, resources, more)

    def hold(self, step: Step, slot: str, resources: Iterable[str]) -> Ask:
        return self._want(step, "hold", slot, resources, {"holdToken": str(uuid4())})

    def read(self, slot: str, appointment_id: str, via: Via) -> Ask:
        return self._ask("read", "get", via, slot, {"id": appointment_id})

    def cancel(self, slot: str, appointment_id: str) -> Ask:
        return self._ask("cancel", "cancel", next(self._transports), slot, {"id": appointment_id})

    def release(self, held: Ask) -> Ask:
        body = {name: value for name, value in held.body.items() if name != "patientName"}
        return self._ask("release", "release", next(self._transports), held.slot, body)

    def window(self, step: Step, kind: Kind, slot: str, resource: str) -> Ask:
        """What is booked, or taken, of a resource at the slot and shortly after."""
        until = canonical(datetime.fromisoformat(slot) + timedelta(minutes=1))
        query = {"site": self.site, "resource": resource, "from": slot, "to": until}
        return self._ask(step, kind, next(self._transports), slot, query)

    def again(self, slot: str) -> None:
        """What is asked of the slot from now on belongs to another race for it."""
        self._rounds[slot] = self.round(slot) + 1

    def round(self, slot: str) -> int:
        return self._rounds.get(slot, 1)

    def _want(self, step: Step, kind: Kind, slot: str, resources: Iterable[str], more: dict[str, str]) -> Ask:
        number = next(self._patients)
        body = {
            "slot": _SPELLINGS[number % len(_SPELLINGS)](slot),
            "patientName": f"Patient {number}",
            "site": self.site,
            "resources": [*resources],
            **more,
        }
        return self._ask(step, kind, next(self._transports), slot, body)

    def _ask(self, step: Step, kind: Kind, via: Via, slot: str, body: Json) -> Ask:
        ordinal = next(self._ordinals)
        return Ask(ordinal, step, kind, via, slot, f"{self._run}-{ordinal}", body, round=self.round(slot))


def canonical(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _east(slot: str) -> str:
    """The same instant as a clock two hours to the east shows it."""
    return (datetime.fromisoformat(slot) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S+02:00")


# One instant is one slot however it is written, so that callers who write it differently race too.
_SPELLINGS = (str, _east, lambda slot: slot.replace(".000Z", "Z"))
