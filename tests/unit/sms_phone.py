"""A phone in unit tests: the conversation alone, with a small calendar in memory."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

from gateway.sms.conversation import before, follow, start
from gateway.sms.phrases import LANGUAGES
from gateway.sms.steps import (
    Book,
    Booked,
    Command,
    Drop,
    Dropped,
    Facts,
    Find,
    Found,
    Gone,
    Held,
    Hold,
    Move,
    Moved,
    Offer,
    Outcome,
    Read,
    Release,
    Released,
    State,
    Taken,
    WasRead,
)
from shared.contract.replies import Appointment

NOW = datetime(2029, 12, 3, 12, tzinfo=UTC)  # a Monday
NINE = datetime(2029, 12, 4, 8, tzinfo=UTC)
MOST = 4


def quarters(first: datetime, number: int = 12) -> list[datetime]:
    """Return starts a quarter of an hour apart."""
    return [first + timedelta(minutes=15 * n) for n in range(number)]


@dataclass
class Phone:
    """Sends texts. `free` and `booked` are the calendar; `commands` all that was asked of it."""

    language: str = "en"
    cut_off: int = 0
    now: datetime = NOW
    state: State = field(default_factory=State)
    free: list[datetime] = field(
        default_factory=lambda: [NINE + timedelta(minutes=15 * n) for n in range(12)]
    )
    held: datetime | None = None
    booked: dict[str, Appointment] = field(default_factory=dict)
    names: list[str | None] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    title: str = "Dr Lee"
    service: str | None = None
    """The title of what is booked, if the site has services."""
    is_lost: bool = False
    """Whether the next answer to a booking is lost, after it was carried out."""
    keys: dict[str, str] = field(default_factory=dict)
    _ids: "count[int]" = field(default_factory=lambda: count(1))

    def text(self, *texts: str) -> str:
        """Send texts, and return the reply to the last one."""
        for text in texts:
            facts = self._facts()
            step = start(self.state, text, facts)
            while step.command is not None:
                self.commands.append(step.command)
                self.state = before(step) or self.state
                step = follow(step.state, self._carry_out(step.command), facts)
            self.state = step.state
        return step.reply

    def _facts(self) -> Facts:
        return Facts(
            now=self.now,
            message=f"SM{next(self._ids)}",
            phrases=LANGUAGES[self.language],
            zone=ZoneInfo("Europe/Berlin"),
            service=self.service and "check-up",
            services={"check-up": self.service} if self.service else {},
            titles={"dr-lee": self.title},
            cut_offs={"dr-lee": self.cut_off},
        )

    def _carry_out(self, command: Command) -> Outcome:
        match command:
            case Find(start):
                if command.release:
                    self.held = None
                slots = [slot for slot in self.free if slot >= start][:MOST]
                return Found(command, tuple(Offer(slot=slot, resources=("dr-lee",)) for slot in slots))
            case Hold(offer):
                if offer.slot not in self.free:
                    return Taken()
                self.held = offer.slot
                return Held(offer, 5)
            case Release(offer):
                self.held = None
                return Released(offer)
            case Book():
                return self._book(command)
            case Read(own):
                return WasRead(command, {one.id: self.booked[one.id] for one in own if one.id in self.booked})
            case Drop(own):
                if (dropped := self.booked.get(own.id)) is None:
                    return Gone(own.id)
                self.booked[own.id] = dropped.model_copy(update={"status": "cancelled"})
                return Dropped(own, dropped)
            case Move(own, offer, _):
                if offer.slot not in self.free:
                    return Taken()
                return Moved(self._store(own.id, offer.slot), own.resource)

    def _book(self, command: Book) -> Outcome:
        slot, choice = command.offer.slot, command.choice
        if choice in self.keys:
            return Booked(self.booked[self.keys[choice]], "dr-lee")
        if slot not in self.free:
            return Taken()
        self.free.remove(slot)
        self.names.append(command.name)
        booked = self._store(f"{len(self.booked):08x}", slot)
        self.keys[choice] = booked.id
        if self.is_lost:
            self.is_lost = False
            raise TimeoutError
        return Booked(booked, "dr-lee")

    def _store(self, id: str, slot: datetime) -> Appointment:
        self.booked[id] = Appointment(
            id=id,
            site="s",
            resources=("dr-lee",),
            slot=slot,
            service=self.service and "check-up",
            status="booked",
            version=1,
            createdAt=self.now,
        )
        return self.booked[id]

    def book(self, *more: str) -> str:
        """Book the first free time, and then the times of `more`."""
        for choice in ("1", *more):
            reply = self.text("LIST", "hi", choice, "OK")
        return reply
