"""What a conversation is made of: its state, its commands to the calendar, and what came of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import StrEnum
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from gateway.sms.phrases import Phrases
from gateway.sms.readings import Reading
from shared.contract.fields import Instant
from shared.contract.replies import Appointment


class Offer(BaseModel):
    """A free start, and the resources of which each has it free."""

    model_config = ConfigDict(frozen=True)

    slot: Instant
    resources: tuple[str, ...]


class Own(BaseModel):
    """An appointment that this phone booked at a resource, and its service while it is moved."""

    model_config = ConfigDict(frozen=True)

    id: str
    resource: str
    service: str | None = None


class State(BaseModel):
    """What is remembered about a phone: neither its number nor a name.

    `offers`: the free times that it was sent last, by message `choice`. `held`: the one that is held for it,
    at one resource. `unsure`: a booking of what is held was sent, and its outcome is not known. `moving`: the
    appointment for which it chooses a new time, until `movable_until`. `own`: its appointments. `listed`: the
    ids that it was sent last, in order. `done`: the id that it booked or moved last. `at`: when it
    wrote last.
    """

    model_config = ConfigDict(frozen=True)

    offers: tuple[Offer, ...] = ()
    choice: str = ""
    held: Offer | None = None
    unsure: bool = False
    moving: Own | None = None
    movable_until: Instant | None = None
    own: tuple[Own, ...] = ()
    listed: tuple[str, ...] = ()
    done: str = ""
    at: Instant | None = None


class Lead(StrEnum):
    """The line above free times."""

    FREE = "free"
    TAKEN = "taken"
    MOVE = "move"


@dataclass(frozen=True)
class Find:
    """Find free times from `start` on, after giving up what is held (`release`).

    `day`, `at`: those that the phone asked for.
    `moving`: the appointment that needs a time at its resource; None: any resource of the site does.
    """

    start: datetime
    lead: Lead = Lead.FREE
    day: date | None = None
    at: time | None = None
    moving: Own | None = None
    release: Offer | None = None


@dataclass(frozen=True)
class Hold:
    """Hold the first of the offer's resources that can be had, and then give up `release`."""

    offer: Offer
    release: Offer | None = None


@dataclass(frozen=True)
class Release:
    """Give up what is held."""

    offer: Offer


@dataclass(frozen=True)
class Book:
    """Book what is held; `name` is None if the phone did not send one. `choice` makes its key."""

    offer: Offer
    choice: str
    name: str | None


@dataclass(frozen=True)
class Read:
    """Read the appointments of the phone for a text: LIST, DROP, MOVE or OK."""

    own: tuple[Own, ...]
    reading: Reading


@dataclass(frozen=True)
class Drop:
    """Cancel an appointment of the phone."""

    own: Own


@dataclass(frozen=True)
class Move:
    """Move an appointment of the phone; `choice` makes its key."""

    own: Own
    offer: Offer
    choice: str


Command = Find | Hold | Release | Book | Read | Drop | Move


@dataclass(frozen=True)
class Found:
    """Free times."""

    find: Find
    offers: tuple[Offer, ...]


@dataclass(frozen=True)
class Held:
    """`offer` has the one resource that is held."""

    offer: Offer
    minutes: int


@dataclass(frozen=True)
class Released:
    offer: Offer


@dataclass(frozen=True)
class Taken:
    """Somebody else was faster, or the slot is offered no more."""


@dataclass(frozen=True)
class Booked:
    appointment: Appointment
    resource: str


@dataclass(frozen=True)
class WasRead:
    """`appointments`: those that exist, by id."""

    read: Read
    appointments: Mapping[str, Appointment]


@dataclass(frozen=True)
class Dropped:
    own: Own
    appointment: Appointment


@dataclass(frozen=True)
class Moved:
    appointment: Appointment
    resource: str


@dataclass(frozen=True)
class Gone:
    """The appointment does not exist any more, or is cancelled."""

    id: str


@dataclass(frozen=True)
class Denied:
    """The calendar refused; `too_many`: because of what this phone has booked or holds."""

    too_many: bool = False


Outcome = Found | Held | Released | Taken | Booked | WasRead | Dropped | Moved | Gone | Denied


@dataclass(frozen=True)
class Facts:
    """What a step may know besides its state.

    `message`: the id of the message. `service`: what is booked, with its title in `services`. `cut_offs`:
    minutes before an appointment after which it cannot be changed, and `titles`: both by resource.
    """

    now: datetime
    message: str
    phrases: Phrases
    zone: ZoneInfo
    service: str | None = None
    services: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    cut_offs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A new state, and either a command whose outcome the next step needs, or the reply."""

    state: State
    command: Command | None = None
    reply: str = ""
