"""A hold that was granted is honoured, except where Redis was broken meanwhile.

A 200 says that what it claims is neither booked nor being booked, and will not be by another. So a hold and
another patient's booking that share a claim are never both granted, unless the booking can have come after
the hold's end.
And who is refused because of a hold is so because of another's.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf

from tests.faults.checker.model import HELD, may_take_effect
from tests.faults.checker.verdict import Rule, Violation, violation
from tests.faults.history import REQUEST_TIMEOUT_SECONDS, Claim, Fault, Operation

SKEW_SECONDS = 0.25
"""How far the clocks of hosts may be apart."""
REDIS_RETURNS_SECONDS = 1.0
"""After a fault a worker may need a moment to reach Redis again."""

LINGERS_SECONDS = REQUEST_TIMEOUT_SECONDS + 1.0
"""How long after its end, or its answer, a hold may stand. One that was not granted stands little longer than
the deadline of its command, which comes at most so long after the worker's receipt of it."""


@dataclass(frozen=True)
class Effect:
    """A booking that was certainly made, some time from `earliest` to the answer of `witness`."""

    attempts: tuple[Operation, ...]
    claims: frozenset[Claim]
    earliest: float
    witness: Operation

    @property
    def latest(self) -> float:
        return self.witness.end

    def may_pass(self, hold: Operation) -> bool:
        """Whether the booking is the holder's own, by any attempt."""
        return any(_is_own(hold, each) for each in self.attempts)


def judge_holds(operations: Sequence[Operation], redis_faults: Sequence[Fault]) -> Iterator[Violation]:
    """What is wrong with the holds of one component."""
    ends = {each: promised_end(each, redis_faults) for each in operations if each.kind == "hold" and each.ok}
    alive = [hold for hold, end in ends.items() if end >= hold.end]
    effects = list(_effects(operations))
    for hold in alive:
        for effect in (each for each in effects if each.claims & hold.claims):
            if effect.latest < hold.invoked:
                yield violation(Rule.HOLD, "a hold was granted on what is booked", hold, effect.witness)
            elif (
                effect.latest < ends[hold] and not effect.may_pass(hold) and not _blind(effect, redis_faults)
            ):
                text = f"{hold.patient} was granted a hold, and {effect.witness.patient} a booking"
                yield violation(Rule.HOLD, text, hold, effect.witness)
    for one, other in (pair for pair in combinations(alive, 2) if pair[0].claims & pair[1].claims):
        same = one.token is not None and one.token == other.token
        if not same and max(one.end, other.end) < min(ends[one], ends[other]):
            yield violation(Rule.HOLD, "two holds were granted at once", one, other)
    yield from _unfounded(operations, redis_faults)


def promised_end(hold: Operation, redis_faults: Iterable[Fault]) -> float:
    """Until when the hold binds: to its expiry, or to the fault of Redis that may have lost it."""
    expires = hold.expires if hold.expires is not None else -inf
    lost = [fault.began for fault in redis_faults if overlaps(fault, hold.invoked, expires)]
    return min([expires - SKEW_SECONDS, *lost])


def overlaps(fault: Fault, since: float, until: float, lingers: float = REDIS_RETURNS_SECONDS) -> bool:
    """Whether the fault, which lingers for some time after its end, touches the interval."""
    ended = inf if fault.ended is None else fault.ended + lingers
    return fault.began <= until and since <= ended


def _effects(operations: Iterable[Operation]) -> Iterator[Effect]:
    attempts: dict[str | None, list[Operation]] = defaultdict(list)
    witnesses: dict[str | None, list[Operation]] = defaultdict(list)
    for each in operations:
        if may_take_effect(each):
            attempts[each.appointment_id].append(each)
        if each.ok and each.kind in ("book", "get"):
            witnesses[each.appointment_id].append(each)
    for id, own in attempts.items():
        if id in witnesses:
            made_it = [each for each in own if each.ok and not each.replayed] or own
            earliest = min(each.invoked for each in made_it)
            claims = frozenset[Claim]().union(*(each.claims for each in made_it))
            yield Effect(tuple(own), claims, earliest, min(witnesses[id], key=lambda each: each.end))


def _blind(effect: Effect, redis_faults: Iterable[Fault]) -> bool:
    """Whether the booking's worker may not have reached Redis, and so went on without it."""
    return any(overlaps(fault, effect.earliest, effect.latest) for fault in redis_faults)


def _unfounded(operations: Sequence[Operation], redis_faults: Sequence[Fault]) -> Iterator[Violation]:
    """`held` needs another's hold that may have stood then; one that was not granted may for a moment too."""
    holds = [each for each in operations if each.kind == "hold"]
    for refusal in (each for each in operations if each.refused and each.error == HELD):
        if not any(_may_be_in_the_way(hold, refusal, redis_faults) for hold in holds):
            text = f"#{refusal.number} was refused as held, but nobody else can have held any of that then"
            yield violation(Rule.TRUE_REFUSAL, text, *_own_holds(holds, refusal), refusal)


def _may_be_in_the_way(hold: Operation, refusal: Operation, redis_faults: Iterable[Fault]) -> bool:
    if hold is refusal or hold.invoked > refusal.end or _is_own(hold, refusal):
        return False
    if not hold.claims & refusal.claims:
        return False
    until = max(hold.end, hold.expires or -inf) + LINGERS_SECONDS
    return until >= refusal.invoked or any(
        overlaps(fault, hold.invoked, refusal.end) for fault in redis_faults
    )


def _is_own(hold: Operation, asked: Operation) -> bool:
    """Whether the hold stands in nobody's way who asks this: by its token, for a booking also by name."""
    same_token = hold.token is not None and hold.token == asked.token
    return same_token or (asked.kind == "book" and hold.patient == asked.patient)


def _own_holds(holds: Iterable[Operation], refusal: Operation) -> Iterator[Operation]:
    return (hold for hold in holds if hold is not refusal and _is_own(hold, refusal))
