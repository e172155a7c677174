"""A granted hold is honoured, unless Redis was broken meanwhile.

A 200 means that the claims are neither booked nor being booked, and that no other patient will book them.
So a hold and another patient's booking that share a claim are never both granted, unless the booking can
be from after the hold's end.
A refusal as held requires another patient's hold.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import inf

from tests.proof.checker.clocks import SKEW_SECONDS
from tests.proof.checker.inferred_bookings import InferredBooking, infer_bookings, is_own
from tests.proof.checker.model import HELD, may_take_effect
from tests.proof.checker.verdict import Rule, Violation, violation
from tests.proof.faults.history import ATTEMPT_SECONDS, REQUEST_TIMEOUT_SECONDS, Fault, Operation

REDIS_RETURNS_SECONDS = 1.0
"""How long after a fault a worker may need to reconnect to Redis."""

LINGERS_SECONDS = REQUEST_TIMEOUT_SECONDS + 1.0
"""How long after its answer a hold that was not granted may stay in Redis.

That is slightly longer than the deadline of its command, counted from the worker's receipt.
"""


def judge_holds(operations: Sequence[Operation], redis_faults: Sequence[Fault]) -> Iterator[Violation]:
    """Yield violations by the holds of one component; the answers' rules check that the slot was free."""
    ends = _ends(operations, redis_faults)
    alive = [hold for hold, end in ends.items() if end >= hold.end]
    inferred = list(infer_bookings(operations))
    for hold in alive:
        for booking in (each for each in inferred if each.claims & hold.claims):
            if (
                hold.invoked <= booking.latest < ends[hold]
                and not booking.may_pass(hold)
                and not _may_have_missed_hold(booking, redis_faults)
                and not booking.may_be_over(hold)
            ):
                text = f"{hold.patient} was granted a hold, and {booking.witness.patient} a booking"
                yield violation(Rule.HOLD, text, hold, booking.witness)
    for one, other in (pair for pair in combinations(alive, 2) if pair[0].claims & pair[1].claims):
        same = one.token is not None and one.token == other.token
        if not same and max(one.end, other.end) < min(ends[one], ends[other]):
            yield violation(Rule.HOLD, "two holds were granted at once", one, other)
    yield from _released(operations, ends)
    yield from _unlisted(operations, ends)
    yield from _unfounded(operations, redis_faults)


def void_holds(operations: Sequence[Operation], redis_faults: Sequence[Fault]) -> set[Operation]:
    """Return granted holds that promise nothing, because a fault of Redis may have lost them at once."""
    return {
        hold
        for hold in operations
        if hold.kind == "hold" and hold.ok and promised_end(hold, redis_faults) < hold.end
    }


def _ends(operations: Sequence[Operation], redis_faults: Sequence[Fault]) -> dict[Operation, float]:
    """Return until when each granted hold binds: at most until it may have been released or used."""
    users = [each for each in operations if each.kind == "release" or may_take_effect(each)]

    def end(hold: Operation) -> float:
        used = (each.invoked for each in users if _may_use_up(each, hold) and each.end >= hold.invoked)
        return min([promised_end(hold, redis_faults), *used])

    return {each: end(each) for each in operations if each.kind == "hold" and each.ok}


def _may_use_up(user: Operation, hold: Operation) -> bool:
    if user.kind == "release":
        return user.token == hold.token and not user.refused and user.outcome != "not_executed"
    if user.kind in ("cancel", "amend", "erase") or not is_own(hold, user):
        return False
    place = user.told.place if user.told else user.place
    partial = user.kind == "move" and user.told is None
    return partial or bool(place.claims & hold.claims)


def promised_end(hold: Operation, redis_faults: Iterable[Fault]) -> float:
    """Return until when the hold binds: its expiry, or the fault of Redis that may have lost it."""
    expires = hold.expires if hold.expires is not None else -inf
    lost = [fault.began for fault in redis_faults if overlaps(fault, hold.invoked, expires)]
    return min([expires - SKEW_SECONDS, *lost])


def overlaps(fault: Fault, since: float, until: float, lingers: float = REDIS_RETURNS_SECONDS) -> bool:
    """Whether the fault, extended by `lingers` seconds, overlaps the interval."""
    ended = inf if fault.ended is None else fault.ended + lingers
    return fault.began <= until and since <= ended


def _released(operations: Sequence[Operation], ends: Mapping[Operation, float]) -> Iterator[Violation]:
    """A release finds a hold that stands, and does not find one that was never placed."""
    for release in (each for each in operations if each.kind == "release" and (each.ok or each.refused)):
        holds = [each for each in operations if each.kind == "hold" and each.token == release.token]
        binding = [
            each for each in holds if each.end < release.invoked and release.end < ends.get(each, -inf)
        ]
        if release.refused and binding:
            yield violation(Rule.HOLD, "a hold that stands was not found", release, binding[0])
        if (
            release.ok
            and not _may_be_retry(release)
            and not any(each.invoked <= release.end for each in holds)
        ):
            yield violation(Rule.HOLD, "a hold was released that no caller had placed", release)


def _may_be_retry(release: Operation) -> bool:
    """Whether the gateway may have retried, and so returned 200 for the 404 to its own second attempt."""
    return release.via == "http" and release.end - release.invoked > 0.9 * ATTEMPT_SECONDS


def _unlisted(operations: Sequence[Operation], ends: Mapping[Operation, float]) -> Iterator[Violation]:
    """A hold that stands during a whole `slots` request is listed, as held or as booked."""
    for asked in (each for each in operations if each.kind == "slots" and each.ok):
        for hold, end in ends.items():
            stands = hold.end < asked.invoked and asked.end < end
            if stands and hold.claims & asked.claims and not asked.taken:
                yield violation(Rule.HOLD, "a held slot was not listed as taken", asked, hold)


def _may_have_missed_hold(booking: InferredBooking, redis_faults: Iterable[Fault]) -> bool:
    """Whether the booking's worker may not have reached Redis, and so went on without it."""
    return any(overlaps(fault, booking.earliest, booking.latest) for fault in redis_faults)


def _unfounded(operations: Sequence[Operation], redis_faults: Sequence[Fault]) -> Iterator[Violation]:
    """A refusal as held, or a slot listed as held, requires another patient's hold that may have stood.

    A hold that was not granted may stand for a moment too.
    """
    holds = [each for each in operations if each.kind == "hold"]
    for asked in (each for each in operations if each.kind == "slots" and each.ok):
        listed = any(state == "held" for _, state in asked.taken)
        if listed and not any(_may_block(hold, asked, redis_faults) for hold in holds):
            yield violation(Rule.HOLD, "a slot that no caller can hold was listed as held", asked)
    erased = {each.appointment_id for each in operations if each.kind == "erase"}
    for refusal in (each for each in operations if each.refused and each.error == HELD):
        # Without a name, a booking's move is recognised by its token alone.
        nameless = replace(refusal, patient="") if refusal.appointment_id in erased else refusal
        if not any(_may_block(hold, nameless, redis_faults) for hold in holds):
            text = (
                f"#{refusal.number} was refused as held, but no other caller can have held any of its claims"
            )
            yield violation(Rule.TRUE_REFUSAL, text, *_own_holds(holds, refusal), refusal)


def _may_block(hold: Operation, refusal: Operation, redis_faults: Iterable[Fault]) -> bool:
    if hold is refusal or hold.invoked > refusal.end or is_own(hold, refusal):
        return False
    wanted = refusal.claims  # empty for a move with only some fields: any hold of the component may block it
    if wanted and not hold.claims & wanted:
        return False
    if hold.gone_by is not None:
        until = hold.gone_by
    elif hold.ok and hold.expires is not None:
        until = max(hold.end, hold.expires + SKEW_SECONDS)
    else:
        until = hold.end + LINGERS_SECONDS
    return until >= refusal.invoked or any(
        overlaps(fault, hold.invoked, refusal.end) for fault in redis_faults
    )


def _own_holds(holds: Iterable[Operation], refusal: Operation) -> Iterator[Operation]:
    return (hold for hold in holds if hold is not refusal and is_own(hold, refusal))
