"""The checker's search decides as a search through every order does, on small histories of any kind."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, combinations, permutations
from random import Random
from time import perf_counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.checker import Rule, check
from tests.faults.checker.identity import identify
from tests.faults.checker.model import BOOKED, HELD
from tests.faults.checker.search import linearizable
from tests.faults.checker.stories import asked, booked, lost, read, refused, row, story
from tests.faults.history import Operation, Row

PATIENTS = ("Ada", "Bob", "Cyd")
EXHAUSTIVE = settings(max_examples=200, deadline=None, derandomize=True)


def possible_orders(operations: Sequence[Operation]) -> Iterator[tuple[Operation, ...]]:
    """Every order of what was answered and of any of the bookings that were not."""
    answered = [each for each in operations if each.outcome in ("ok", "refused")]
    lost_books = [each for each in operations if each.outcome == "unknown" and each.kind == "book"]
    sizes = range(len(lost_books) + 1)
    for carried_out in chain.from_iterable(combinations(lost_books, size) for size in sizes):
        for order in permutations([*answered, *carried_out]):
            if all(
                one.invoked <= other.returned
                for one, other in combinations(order, 2)
                if other.returned is not None and other.outcome != "unknown"
            ):
                yield order


def true_throughout(order: Sequence[Operation]) -> bool:
    """Whether each answer is true of the first booking carried out before it, which owns the slot."""
    for place, each in enumerate(order):
        before = [
            b.appointment_id for b in order[:place] if b.kind == "book" and b.outcome in ("ok", "unknown")
        ]
        owner = before[0] if before else None
        if each.outcome == "unknown" or (each.kind == "hold" and each.outcome == "ok") or each.error == HELD:
            continue
        if each.kind == "get":
            true = (owner == each.appointment_id) == (each.outcome == "ok")
        elif each.outcome == "ok":
            true = owner is None or (owner == each.appointment_id and each.replayed)
        else:
            true = owner is not None and owner != each.appointment_id
        if not true:
            return False
    return True


def some_order_is_true(operations: Sequence[Operation]) -> bool:
    return any(map(true_throughout, possible_orders(operations)))


@st.composite
def anything(draw: st.DrawFn) -> Operation:
    """Any operation with any answer, at any time."""
    patient = draw(st.sampled_from(PATIENTS))
    invoked = draw(st.integers(0, 8))
    returned = invoked + draw(st.integers(0, 4))
    answer = draw(
        st.sampled_from(["ok", "ok", "replayed", "refused", "held", "unknown", "hold", "get", "404"])
    )
    match answer:
        case "ok" | "replayed":
            return booked(patient, invoked, returned, replayed=answer == "replayed")
        case "refused" | "held":
            return refused(patient, invoked, returned, BOOKED if answer == "refused" else HELD)
        case "unknown":
            return lost(patient, invoked)
        case "hold":
            return asked("hold", patient, invoked, returned, outcome="refused", error=BOOKED)
        case _:
            return read(patient.lower(), invoked, returned, found=answer == "get")


@EXHAUSTIVE
@given(st.lists(anything(), max_size=6))
def test_the_search_agrees_with_every_order_tried_out(operations: list[Operation]) -> None:
    """A history of up to six operations is linearizable if and only if one of all its orders is true."""
    identified = identify(story(*operations))

    assert linearizable(identified) == some_order_is_true(identified)


@EXHAUSTIVE
@given(st.lists(anything(), max_size=5), st.sampled_from([(), (row("Ada"),), (row("Bob"),)]))
def test_the_verdict_agrees_with_every_order_tried_out(
    operations: list[Operation], rows: tuple[Row, ...]
) -> None:
    """The verdict names an untrue order or refusal if and only if there is one, the rows being read last."""
    history = story(*operations, rows=rows)
    identified = identify(history)
    made = {
        each.appointment_id
        for each in identified
        if each.outcome in ("ok", "unknown") and each.kind == "book"
    }
    last = [replace(read(each.id, 99, 99), number=99) for each in history.rows if each.id in made]
    blamed = [
        each
        for each in check(history).violations
        if each.rule is Rule.LINEARIZABLE or "already booked" in each.text
    ]

    assert (not blamed) == some_order_is_true([*identified, *last])


def test_two_hundred_operations_of_a_slot_are_judged_in_no_time() -> None:
    """Sixty lost bookings among two hundred operations of one slot cost well under a second."""
    random = Random(1)
    moments = [random.uniform(1, 10) for _ in range(200)]
    crowd = [lost(f"L{number}", moment) for number, moment in enumerate(moments[:60])]
    losers = [refused(f"R{n}", moment, moment + 1) for n, moment in enumerate(moments[60:160]) if moment > 5]
    readers = [read("ada", moment, moment + 1, found=moment > 5) for moment in moments[160:]]
    good = story(*crowd, *losers, *readers, booked("Ada", 4, 7), rows=(row("Ada"),))
    bad = story(*crowd, *losers, *readers, booked("Ada", 4, 7), booked("Bob", 4, 7), rows=(row("Ada"),))

    began = perf_counter()
    assert check(good).accepted
    assert not check(bad).accepted
    assert perf_counter() - began < 2
