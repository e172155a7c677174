"""With cancels, moves and histories, the checker decides as an exhaustive search does."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from time import process_time

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.proof.checker import check
from tests.proof.checker.answers import read_back
from tests.proof.checker.identity import identify
from tests.proof.checker.model import BOOKED, CANCELLED, HELD
from tests.proof.checker.search import linearizable
from tests.proof.checker.simulation import LIFE, valid_history
from tests.proof.faults.history import History, Operation
from tests.proof.faults.places import BookingState
from tests.unit.orders import CHANGES, possible_orders

EXHAUSTIVE = settings(max_examples=300, deadline=None, derandomize=True)
KINDS = ("book", "book", "cancel", "move", "move", "get", "history", "hold")
Log = list[tuple[str, tuple[str, ...], str, str | None]]
"""The changes of a booking: type, resources, slot and move id."""


def true_throughout(order: Sequence[Operation]) -> bool:
    """Return whether every answer is true if the changes take effect in this order."""
    logs: dict[str, Log] = {}
    idle: dict[str, list[str | None]] = {}
    return all(is_true(each, logs, idle) for each in order)


def is_true(  # noqa: PLR0912 (a case for each kind of answer)
    asked: Operation, logs: dict[str, Log], idle: dict[str, list[str | None]]
) -> bool:
    """Return whether an answer is true, and note its change in `logs`, or in `idle` a move without effect."""
    id, lost = asked.appointment_id or "", asked.outcome == "unknown"
    log = logs.get(id, [])
    active = bool(log) and log[-1][0] != "cancelled"
    done = asked.kind == "move" and asked.move_id in [*(entry[3] for entry in log), *idle.get(id, ())]
    _, resources, slot, _ = log[-1] if log else ("", asked.resources, asked.slot, None)
    if asked.kind in ("book", "hold") or (asked.kind == "move" and active):
        resources, slot = asked.resources or resources, asked.slot or slot
    taken = {
        (resource, entries[-1][2])
        for owner, entries in logs.items()
        if owner != id and entries[-1][0] != "cancelled"
        for resource in entries[-1][1]
    }
    clash = any((resource, slot) in taken for resource in resources)
    if asked.outcome == "refused":
        match asked.error:
            case "No such appointment":
                return not log
            case _ if asked.error == CANCELLED:
                if not log or active:
                    return False
                standing = asked.told
                return standing is None or (
                    standing.status == "cancelled"
                    and (standing.place.resources, standing.place.slot) == log[-1][1:3]
                )
            case _ if asked.error in (BOOKED, HELD):
                may_ask = not log if asked.kind != "move" else active and not done
                return may_ask and clash == (asked.error == BOOKED)
        return True
    change: Log = []
    match asked.kind:
        case "book" if not log and not clash:
            change = [("booked", resources, slot, None)]
        case "book":
            if not lost and not (active and asked.replayed):
                return False
        case "move" if active and not done:
            if clash:
                return lost
            if (resources, slot) != log[-1][1:3]:
                change = [("moved", resources, slot, asked.move_id)]
            else:
                idle.setdefault(id, []).append(asked.move_id)
        case "move":
            if not lost and not active:
                return False
        case "cancel" if active:
            change = [("cancelled", log[-1][1], log[-1][2], None)]
        case "cancel" | "get" if not log:
            return lost
        case "history":
            told = [(each.type, each.place.resources, each.place.slot) for each in asked.changes or ()]
            return told == [entry[:3] for entry in log]
        case "hold":
            return not clash
    after = [*log, *change]
    if asked.told is not None and not lost:
        status = "cancelled" if after[-1][0] == "cancelled" else "booked"
        if (
            after[-1][1:3] != (asked.told.place.resources, asked.told.place.slot)
            or status != asked.told.status
        ):
            return False
    if change:
        logs[id] = after
    return True


@st.composite
def small_histories(draw: st.DrawFn) -> History:
    """Draw a valid history, or one with up to two distorted operations."""
    random = Random(draw(st.integers(0, 10**9)))
    history = valid_history(random, draw(st.integers(1, 6)), ("a", "b"), KINDS)
    operations = [each for each in history.operations if each.kind in (*CHANGES, "get", "history", "hold")]
    for _ in range(draw(st.integers(0, 2))):
        n = draw(st.integers(0, len(operations) - 1))
        operations[n] = distorted(operations[n], draw(st.integers(0, 8)), operations)
    return replace(history, operations=tuple(operations))


def distorted(operation: Operation, how: int, others: Sequence[Operation]) -> Operation:
    """Return the operation at another time, or with another answer."""
    places = [*(each.told for each in others if each.told), None]
    answered = replace(
        operation, returned=operation.returned or operation.invoked + 1, told=None, changes=None
    )
    match how:
        case 0:
            return replace(
                operation,
                invoked=operation.invoked + 2,
                returned=operation.returned and operation.returned + 2,
            )
        case 1 if operation.kind in ("book", "move", "hold"):
            return replace(answered, outcome="refused", status=409, error=BOOKED)
        case 2 if operation.kind in ("book", "move", "hold"):
            return replace(answered, outcome="refused", status=409, error=HELD)
        case 3 if operation.kind in ("get", "history", "cancel", "move"):
            return replace(answered, outcome="refused", status=404, error="No such appointment")
        case 4 if operation.told:
            return replace(operation, told=BookingState(operation.told.place, "cancelled"))
        case 5 if operation.told:
            return replace(operation, told=places[0])
        case 7 if operation.outcome == "unknown":
            return replace(operation, gone_by=operation.invoked + 2)
        case 8 if operation.kind in ("book", "move"):
            told = answered if operation.kind == "move" else replace(answered, appointment_id=None)
            return replace(told, outcome="refused", status=409, error=CANCELLED)
        case 6 if operation.changes:
            return replace(operation, changes=operation.changes[:-1] or operation.changes)
        case _:
            return replace(operation, invoked=operation.invoked - 1)


@EXHAUSTIVE
@given(small_histories(), st.booleans())
def test_search_agrees_with_an_exhaustive_search(history: History, stored: bool) -> None:
    """A small history is linearizable if and only if one of its orders is true; rows are read last."""
    identified = identify(history)
    last = read_back(history.rows, identified) if stored and len(history.rows) < 2 else []
    operations = [*identified, *last]

    assert linearizable(operations) == any(map(true_throughout, possible_orders(operations)))


def test_three_hundred_operations_with_many_moves_are_judged_in_seconds() -> None:
    """The checker judges three histories of 300 operations on three resources in less than 20 s of CPU."""
    began = process_time()
    for seed in range(3):
        assert check(valid_history(Random(seed), 300, ("a", "b", "c"), LIFE)).accepted
    assert process_time() - began < 20
