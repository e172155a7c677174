"""A refusal is final: no earlier attempt of the same request takes effect after it.

A caller's requests are ordered by `askedAt`. Three facts of the service follow:

- A 409 to a booking or move excludes every attempt of the same request that was asked no later: if one had
  taken effect before, its booking or move would have been the answer.
- A booking executes its moves in order of `askedAt`: once a move is executed, or refused with 409, no move
  that was asked earlier is executed.
- A release that was answered excludes the holds of its token that were asked no later.

An attempt whose deadline had passed before the refused attempt was asked is excluded as well.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from tests.proof.checker.clocks import SKEW_SECONDS, SKEWING, ClockError
from tests.proof.checker.holds import overlaps
from tests.proof.checker.model import (
    may_book,
    may_take_effect,
    refused_as_booked,
    refused_as_cancelled,
    refused_as_held,
)
from tests.proof.checker.verdict import Rule, Violation, violation
from tests.proof.faults.history import Fault, Operation, Row

GATEWAY_READS_SECONDS = 1.0
"""How long after its caller gave up a gateway may still read a request, unless it was paused.

A caller uses one gateway, which reads the caller's requests in order.
"""
MILLISECOND = 0.001
"""The resolution of `askedAt`."""
PAUSES = ("gateway_pause",)
LatestAsked = Callable[[Operation], float | None]
"""The latest time that `askedAt` can be; None: unknown."""


def latest_asked(faults: Iterable[Fault]) -> LatestAsked:
    """Build the function for a run with these faults."""
    pauses = [fault for fault in faults if fault.kind in PAUSES]
    skewed = [fault for fault in faults if fault.kind in SKEWING]

    def latest(operation: Operation) -> float | None:
        ended = operation.end if operation.returned is None else operation.returned
        if operation.asked is None or any(overlaps(each, operation.invoked, ended) for each in skewed):
            return None
        if operation.via == "nats":
            return operation.asked
        return None if any(overlaps(each, operation.invoked, ended, 0.0) for each in pauses) else ended

    return latest


def judge_finality(
    operations: Sequence[Operation], rows: Sequence[Row], latest: LatestAsked, error: ClockError
) -> Iterator[Violation]:
    """Yield stored bookings that only attempts excluded by a refusal can have made."""
    attempts: dict[str | None, list[Operation]] = defaultdict(list)
    for each in operations:
        if each.kind == "book":
            attempts[each.appointment_id].append(each)
    for row in rows:
        makers = [each for each in attempts[row.id] if _may_have_made(each, row, error)]
        refusals = {each: _excluding_refusal(each, attempts[row.id], latest) for each in makers}
        kept_out = [refusal for refusal in refusals.values() if refusal]
        if makers and len(kept_out) == len(makers):
            text = f"the booking {row.id} was made by an attempt that an earlier refusal excludes"
            yield violation(Rule.FINAL, text, *makers, *kept_out)


def _may_have_made(attempt: Operation, row: Row, error: ClockError) -> bool:
    """Whether the attempt may have made the row.

    A replay over HTTP may be of the gateway's own first attempt, so it counts.
    """
    too_late = row.created is not None and row.created < attempt.invoked - error(row.created)
    is_replay = attempt.replayed and attempt.via == "nats"
    return may_book(attempt) and not too_late and not is_replay


def judge_asked_earlier(operations: Sequence[Operation]) -> Iterator[Violation]:
    """`AskedEarlier` requires another request for the same key, booking or hold that may have an answer.

    This is not judged over HTTP: an earlier attempt of the gateway may have lost its reply.
    """
    about: dict[Hashable, list[Operation]] = defaultdict(list)
    for each in operations:
        about[_subject(each)].append(each)
    for refusal in (each for each in operations if each.error_type == "AskedEarlier"):
        others = (each for each in about[_subject(refusal)] if each is not refusal)
        asked = refusal.invoked if refusal.asked is None else refusal.asked
        later = (each for each in others if each.invoked <= refusal.end and each.end >= asked - SKEW_SECONDS)
        if refusal.via == "nats" and not any(each.outcome != "not_executed" for each in later):
            text = f"#{refusal.number} was refused because of a later request, but no such request exists"
            yield violation(Rule.TRUE_REFUSAL, text, refusal)


def _subject(operation: Operation) -> Hashable:
    match operation.kind:
        case "book":
            return "book", operation.site, operation.key or operation.number
        case "move":
            return "move", operation.appointment_id
        case "hold" | "release":
            return "hold", operation.site, operation.token or operation.number
        case _:
            return operation.number


def apply_final_refusals(operations: Sequence[Operation], latest: LatestAsked) -> tuple[Operation, ...]:
    """Return the operations, with lost attempts limited by later answers to the same caller's requests."""
    requests: dict[Hashable, list[Operation]] = defaultdict(list)
    moves: dict[str | None, list[Operation]] = defaultdict(list)
    releases: dict[Hashable, list[Operation]] = defaultdict(list)
    for each in operations:
        if request := _request_key(each):
            requests[request].append(each)
        if each.kind == "move" and (each.ok or _is_refused_finally(each)):
            moves[each.appointment_id].append(each)
        if each.kind == "release" and (each.ok or each.refused):
            releases[each.site, each.token].append(each)

    def judged(each: Operation) -> Operation:
        if each.kind == "hold" and each.token:
            return _until_released(each, releases[each.site, each.token], latest)
        if not each.unknown:
            return each
        if _excluding_refusal(each, requests.get(_request_key(each), ()), latest):
            return replace(each, outcome="not_executed", returned=each.returned or each.deadline)
        return _before_later_moves(each, moves, requests, latest) if each.kind == "move" else each

    return tuple(map(judged, operations))


def add_gateway_attempts(operations: Sequence[Operation]) -> tuple[list[Operation], dict[int, Operation]]:
    """Add, for a refusal of a cancelled booking, the gateway's earlier attempt that may have made the change.

    A move over HTTP that is refused because its booking is cancelled may have been executed by a first
    attempt whose reply was lost.

    Returns:
        The operations, and the original operation of each added attempt, by the attempt's number.
    """
    numbers = count(max((each.number for each in operations), default=0) + 1)
    found, source = list(operations), dict[int, Operation]()
    for each in operations:
        if each.kind in ("move", "amend", "book") and each.via == "http" and refused_as_cancelled(each):
            attempt = replace(
                each,
                number=next(numbers),
                outcome="unknown",
                status=None,
                error=None,
                told=None,
                gone_by=each.returned,
            )
            found.append(attempt)
            source[attempt.number] = each
    return found, source


def _excluding_refusal(
    attempt: Operation, others: Iterable[Operation], latest: LatestAsked
) -> Operation | None:
    """Return the refusal after which this attempt cannot take effect; None if no refusal excludes it."""
    if not attempt.unknown or _request_key(attempt) is None:
        return None
    asked, deadline = latest(attempt), attempt.deadline
    for other in others:
        if not _is_refused_finally(other) or _request_key(other) != _request_key(attempt):
            continue
        after = latest(other) is not None and asked is not None and asked <= (other.asked or 0)
        if after or (deadline is not None and deadline + SKEW_SECONDS < other.invoked):
            return other
    return None


def _request_key(operation: Operation) -> Hashable:
    """Return the value that all attempts of one request share; None for a request without key or move id."""
    if operation.kind == "book" and operation.key is not None:
        return operation.place, operation.key, operation.patient
    if operation.kind == "move" and operation.move_id is not None:
        return operation.appointment_id, operation.move_id
    return None


def _is_refused_finally(operation: Operation) -> bool:
    return refused_as_booked(operation) or refused_as_held(operation)


def _before_later_moves(
    move: Operation,
    answered: Mapping[str | None, Sequence[Operation]],
    requests: Mapping[Hashable, Sequence[Operation]],
    latest: LatestAsked,
) -> Operation:
    """Limit a lost move: it takes effect before the answer to a move that was asked later."""
    asked = latest(move)
    if asked is None:
        return move
    asked += GATEWAY_READS_SECONDS if move.via == "http" and move.status is None else MILLISECOND

    def is_later(other: Operation) -> bool:
        same = requests.get(_request_key(other), [other])  # a retry has the `askedAt` of its first attempt
        known = all(latest(each) is not None for each in same)
        return known and asked < min(each.asked or 0 for each in same)

    later = [each.end for each in answered.get(move.appointment_id, ()) if is_later(each)]
    return replace(move, gone_by=min(later)) if later else move


def _until_released(hold: Operation, releases: Iterable[Operation], latest: LatestAsked) -> Operation:
    """Limit a hold: it ends before the answer to a release of its token that was asked no earlier."""
    asked = latest(hold)
    if asked is None:
        return hold
    gone = [
        each.end
        for each in releases
        # A release with a slot that the token does not hold releases nothing.
        if latest(each) is not None and asked <= (each.asked or 0) and each.slot == hold.slot
    ]
    return replace(hold, gone_by=min(gone)) if gone else hold


def drop_overtaken_answers(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Drop the booking's state from answers to moves and amendments that another change may have followed.

    A move that was executed, and retried because its reply was lost, returns the state at the retry.
    """
    changes: dict[str | None, list[Operation]] = defaultdict(list)
    for each in operations:
        if each.kind in ("move", "amend", "cancel") and may_take_effect(each):
            changes[each.appointment_id].append(each)

    def may_be_news(move: Operation) -> bool:
        others = (each for each in changes[move.appointment_id] if each is not move)
        return any(each.invoked <= move.end and move.invoked <= each.end for each in others)

    return tuple(
        replace(each, told=None)
        if each.kind in ("move", "amend") and each.ok and each.told and may_be_news(each)
        else each
        for each in operations
    )
