"""The clauses of the verdict, and the exchanges of one race for a slot."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tests.proof.race.exchanges import Exchange, Run, Step

BOOKED = "Slot already booked"
HELD = "Slot is currently held by another user"
# DESIGN.md 4: the clocks of two hosts differ by at most this.
CLOCK_SECONDS = 0.25


class Clause(StrEnum):
    ONE_WINNER = "exactly one booking confirmed in each race"
    ONE_OWNER = "no two winners share a resource"
    REFUSED = "every other request refused, with the right text"
    HOLDS = "every hold honoured"
    ANSWERED = "every request answered"
    READ_BACK = "the winner's appointment reads back the same"
    LATE = "a late request refused"
    FREED = "a cancelled slot is free again"
    LINEARIZABLE = "the history is linearizable"


@dataclass(frozen=True, slots=True)
class Finding:
    clause: Clause
    slot: str
    text: str

    def __str__(self) -> str:
        return f"{self.slot}: {self.text}"


@dataclass(frozen=True, slots=True)
class Grant:
    """A hold that was granted, and the moment when it expires."""

    exchange: Exchange
    expires: float

    def expired_by(self, moment: float) -> bool:
        return self.expires - CLOCK_SECONDS <= moment


class SlotHistory:
    """All exchanges of one race for a slot, in order of their requests."""

    def __init__(self, run: Run, slot: str, exchanges: list[Exchange]) -> None:
        self.run = run
        self.slot = slot
        self.exchanges = sorted(exchanges, key=lambda exchange: exchange.invoked)
        self.confirmed = [exchange for exchange in self.exchanges if exchange.confirmed]
        # The outcome is unknown, so these requests may have taken effect.
        self.unknown = [
            exchange
            for exchange in self.exchanges
            if exchange.request.kind in ("book", "hold") and exchange.reply.outcome == "unknown"
        ]
        self.grants = [
            Grant(exchange, expires)
            for exchange in self.exchanges
            if exchange.granted and (expires := expiry(run, exchange)) is not None
        ]

    @property
    def winning(self) -> Clause:
        """The clause for the winners: with several resources, bookings that share none may all win."""
        return Clause.ONE_WINNER if len(self.run.resources) == 1 else Clause.ONE_OWNER

    @property
    def holds_raced(self) -> bool:
        return any(exchange.request.kind == "hold" for exchange in self.of("race"))

    def of(self, step: Step) -> list[Exchange]:
        return [exchange for exchange in self.exchanges if exchange.request.step == step]

    def find(self, clause: Clause, text: str) -> Finding:
        return Finding(clause, self.slot, text)


def wanted(exchange: Exchange) -> dict[str, object]:
    """The site, resources and slot that an answer must contain if it grants the request."""
    resources = sorted(exchange.request.resources)
    return {"site": exchange.request.body["site"], "resources": resources, "slot": exchange.request.slot}


def expiry(run: Run, exchange: Exchange) -> float | None:
    """Return when a granted hold ends, in seconds since the run began; None if the answer lacks it."""
    match exchange.reply.body:
        case {"hold": {"expiresAt": str(text)}}:
            try:
                return (datetime.fromisoformat(text) - run.began_at).total_seconds()
            except (ValueError, TypeError):
                return None
        case _:
            return None


def refused_with(exchange: Exchange, text: str) -> bool:
    return exchange.reply.status == 409 and exchange.reply.body == {"error": text}
