"""Count the answers of a run, and measure its throughput and latency for information."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.proof.race.clauses import BOOKED, HELD, refused_with
from tests.proof.race.exchanges import Exchange, Run


@dataclass(frozen=True, slots=True)
class AnswerCounts:
    """The number of answers of each sort, in one race or in several."""

    requests: int
    confirmed: int
    granted: int
    already_booked: int
    currently_held: int
    other: int
    unanswered: int


@dataclass(frozen=True, slots=True)
class Speed:
    requests_per_second: float
    p50_ms: float
    p95_ms: float
    max_ms: float


Race = tuple[str, int]
"""A slot, and the number of the race for it: half of the slots are cancelled and raced for again."""


def race_of(exchange: Exchange) -> Race:
    return exchange.request.slot, exchange.request.round


def raced(run: Run, race: Race | None = None) -> list[Exchange]:
    """Return the exchanges of one race, or of all races."""
    return [
        exchange
        for exchange in run.exchanges
        if exchange.request.step == "race" and race in (None, race_of(exchange))
    ]


def count_answers(exchanges: Sequence[Exchange]) -> AnswerCounts:
    confirmed = sum(exchange.confirmed for exchange in exchanges)
    granted = sum(exchange.granted for exchange in exchanges)
    booked = sum(refused_with(exchange, BOOKED) for exchange in exchanges)
    held = sum(refused_with(exchange, HELD) for exchange in exchanges)
    unanswered = sum(not exchange.reply.answered for exchange in exchanges)
    other = len(exchanges) - confirmed - granted - booked - held - unanswered
    return AnswerCounts(len(exchanges), confirmed, granted, booked, held, other, unanswered)


def claimed(run: Run, race: Race | None = None) -> int:
    """Count the holders that booked their held slot after one race, or after all races."""
    return sum(
        exchange.confirmed and exchange.request.step == "claim" and race in (None, race_of(exchange))
        for exchange in run.exchanges
    )


def speed(run: Run) -> Speed:
    """Return throughput and latency of the races, without the requests that follow."""
    exchanges = raced(run)
    took = sorted(exchange.milliseconds for exchange in exchanges)
    per_second = len(exchanges) / run.race_seconds if run.race_seconds else 0.0
    return Speed(per_second, _percentile(took, 50), _percentile(took, 95), took[-1])


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that at least `percent` of the values do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
