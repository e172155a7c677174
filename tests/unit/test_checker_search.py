"""On small histories of any kind, the checker's search decides as an exhaustive search does."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from random import Random
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.proof.checker import Rule, check
from tests.proof.checker.builders import SLOT, asked, booked, lost, of, read, record, refused, row
from tests.proof.checker.identity import identify
from tests.proof.checker.model import BOOKED, HELD
from tests.proof.checker.search import linearizable
from tests.proof.checker.simulation import some_of, valid_history
from tests.proof.faults.history import Operation
from tests.unit.orders import possible_orders

PATIENTS = ("Ada", "Bob", "Cyd")
WISHES = ("a", "b", "c", "ab", "bc", "abc")
EXHAUSTIVE = settings(max_examples=400, deadline=None, derandomize=True)


def true_throughout(order: Sequence[Operation]) -> bool:
    """Return whether every answer is true if a booking takes all of its claims if all are free."""
    owner_of: dict[str, str | None] = {}
    for each in order:
        owners = [owner_of.get(resource) for resource in each.resources]
        free = owners == [None] * len(owners)
        own = owners == [each.appointment_id] * len(owners)
        if each.error == BOOKED:
            true = any(owner not in (None, each.appointment_id) for owner in owners)
        elif each.error == HELD:
            true = free
        elif each.status == 422:
            true = True
        elif each.kind == "get":
            true = own == (each.outcome == "ok")
        elif each.kind == "book":
            true = free or each.outcome == "unknown" or (own and each.replayed)
            owner_of |= dict.fromkeys(each.resources, each.appointment_id) if free else {}
        else:
            true = True
        if not true:
            return False
    return True


def some_order_is_true(operations: Sequence[Operation]) -> bool:
    return any(map(true_throughout, possible_orders(operations)))


@st.composite
def anything(draw: st.DrawFn, wishes: dict[str, str]) -> Operation:
    """Draw any operation with any answer, at any time."""
    patient = draw(st.sampled_from(PATIENTS))
    invoked = draw(st.integers(0, 8))
    returned = invoked + draw(st.integers(0, 4))
    answer = draw(
        st.sampled_from(["ok", "ok", "replayed", "refused", "held", "422", "unknown", "hold", "get", "404"])
    )
    match answer:
        case "ok" | "replayed":
            operation = booked(patient, invoked, returned, replayed=answer == "replayed")
        case "refused" | "held":
            operation = refused(patient, invoked, returned, BOOKED if answer == "refused" else HELD)
        case "422":
            operation = replace(refused(patient, invoked, returned, "Idempotency-Key was used"), status=422)
        case "unknown":
            operation = lost(patient, invoked)
        case "hold":
            error = draw(st.sampled_from([BOOKED, HELD]))
            operation = asked("hold", patient, invoked, returned, outcome="refused", error=error)
        case _:
            operation = read(patient.lower(), invoked, returned, found=answer == "get")
    return of(wishes[patient], operation)


@st.composite
def some_of_anything(draw: st.DrawFn, at_most: int, wanting: Sequence[str]) -> list[Operation]:
    """Draw operations of patients; a patient always wants the same resources."""
    wishes = {patient: draw(st.sampled_from(wanting)) for patient in PATIENTS}
    return draw(st.lists(anything(wishes), max_size=at_most))


@pytest.mark.parametrize("wanting", ["a", WISHES], ids=["one resource", "several"])
@EXHAUSTIVE
@given(data=st.data())
def test_search_agrees_with_an_exhaustive_search(wanting: Sequence[str], data: st.DataObject) -> None:
    """A history of up to six operations is linearizable if and only if one of its orders is true."""
    identified = identify(record(*data.draw(some_of_anything(6, wanting))))

    assert linearizable(identified) == some_order_is_true(identified)


@pytest.mark.parametrize("wanting", ["a", WISHES], ids=["one resource", "several"])
@EXHAUSTIVE
@given(data=st.data(), stored=st.sampled_from([(), ("Ada",), ("Bob",), ("Ada", "Bob")]))
def test_verdict_agrees_with_an_exhaustive_search(
    wanting: Sequence[str], data: st.DataObject, stored: tuple[str, ...]
) -> None:
    """The verdict names a wrong order or refusal if and only if one exists; rows are read last."""
    operations = data.draw(some_of_anything(5, wanting))
    wishes = {each.patient or each.appointment_id: each.resources for each in operations}
    rows = tuple(row(name, wishes.get(name, wishes.get(name.lower(), ("a",)))) for name in stored)
    history = record(*operations, rows=rows)
    identified = identify(history)
    made = {
        each.appointment_id
        for each in identified
        if each.outcome in ("ok", "unknown") and each.kind == "book"
    }
    last = [
        replace(read(each.id, 99, 99), number=99 + n, resources=each.resources)
        for n, each in enumerate(history.rows)
        if each.id in made
    ]
    blamed = [
        each
        for each in check(history).violations
        if each.rule is Rule.LINEARIZABLE or "already booked" in each.text or "at every moment" in each.text
    ]

    assert (not blamed) == some_order_is_true([*identified, *last])


def test_two_hundred_operations_of_a_slot_are_judged_quickly() -> None:
    """Sixty lost bookings among two hundred operations of one slot take less than 2 s."""
    random = Random(1)
    moments = [random.uniform(1, 10) for _ in range(200)]
    crowd = [lost(f"L{number}", moment) for number, moment in enumerate(moments[:60])]
    losers = [refused(f"R{n}", moment, moment + 1) for n, moment in enumerate(moments[60:160]) if moment > 5]
    readers = [read("ada", moment, moment + 1, found=moment > 5) for moment in moments[160:]]
    good = record(*crowd, *losers, *readers, booked("Ada", 4, 7), rows=(row("Ada"),))
    bad = record(*crowd, *losers, *readers, booked("Ada", 4, 7), booked("Bob", 4, 7), rows=(row("Ada"),))

    began = process_time()
    assert check(good).accepted
    assert not check(bad).accepted
    assert process_time() - began < 2


def overlapping(random: Random, resources: tuple[str, ...]) -> list[Operation]:
    """Return 150 lost or refused bookings, each of some of the resources."""
    crowd = [lost(f"L{n}", random.uniform(1, 10)) for n in range(50)]
    moments = [random.uniform(5, 10) for _ in range(100)]
    losers = [refused(f"R{n}", moment, moment + 1) for n, moment in enumerate(moments)]
    return [replace(each, resources=some_of(random, resources)) for each in [*crowd, *losers]]


@pytest.mark.parametrize("number", [2, 4, 8])
def test_overlapping_bookings_are_judged_quickly(number: int) -> None:
    """Fifty lost and a hundred refused bookings of up to eight resources take less than 5 s."""
    random = Random(number)
    resources = tuple("abcdefgh"[:number])
    ada = replace(booked("Ada", 1, 2), resources=resources[:1])
    bob = replace(booked("Bob", 3, 4), resources=resources[1:])
    crowd = overlapping(random, resources)
    rows = (row("Ada", ada.resources), row("Bob", bob.resources))
    good = record(*crowd, ada, bob, rows=rows)
    bad = record(*crowd, ada, bob, replace(booked("Cyd", 3, 4), resources=resources), rows=rows)

    began = process_time()
    assert check(good).accepted
    assert not check(bad).accepted
    assert process_time() - began < 5


def with_slot(slot: str, value: Any) -> Any:
    """Return a call or a row with its slot replaced everywhere."""
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{each.name: with_slot(slot, getattr(value, each.name)) for each in fields(value)}
        )
    if isinstance(value, tuple | frozenset):
        return type(value)(with_slot(slot, each) for each in value)
    return slot if value == SLOT else value


def test_six_thousand_calls_are_judged_in_seconds() -> None:
    """Six thousand calls about four resources, 30 to a slot, take less than 10 s."""
    random = Random(3)
    histories = [valid_history(random, 30, ("a", "b", "c", "d")) for _ in range(200)]
    operations = []
    for n, history in enumerate(histories):
        ids = {None: None} | {f"id-{p}": f"{n}-{p}" for p in ("Ada", "Bob", "Cyd", "Dan")}
        operations += [
            replace(
                with_slot(f"{n}", each),
                key=each.key and f"{n}-{each.key}",
                appointment_id=ids[each.appointment_id],
            )
            for each in history.operations
        ]
    rows = tuple(
        replace(with_slot(f"{n}", each), key=f"{n}-{each.key}", id=f"{n}-{each.patient}")
        for n, history in enumerate(histories)
        for each in history.rows
    )
    began = process_time()
    assert check(record(*operations, rows=rows)).accepted
    assert process_time() - began < 10
