"""The verdict of `make prove` accepts sound races, and names each violation of an unsound one."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.proof.race.clauses import BOOKED, HELD, Clause
from tests.proof.race.exchanges import Exchange, Json, Reply, Run
from tests.proof.race.verdict import RaceVerdict, judge
from tests.unit.race_stories import (
    BEGAN,
    RESOURCE,
    SITE,
    SLOT,
    appointment,
    asked,
    broken_clauses,
    confirmed,
    refused,
    verdict_of,
    without,
    won_by_booking,
)


def test_one_winner_and_true_refusals_are_proved() -> None:
    """One 201, exact 409s, a refused late booking and an equal read-back are a proof."""
    assert verdict_of(won_by_booking()) == RaceVerdict(())


def test_two_confirmed_bookings_are_a_violation() -> None:
    """A slot with two 201s is double-booked, and the finding counts them."""
    verdict = verdict_of(won_by_booking(), bob=confirmed("Bob"))

    assert not verdict.proved
    assert "2 bookings confirmed, at most 1 may be (2 via http)" in str(verdict.violations[0])
    assert str(verdict.violations[0]).startswith(SLOT)


def test_slots_are_judged_separately() -> None:
    """A violation names the slot where it happened, and no other slot."""
    story = won_by_booking()
    other = "2200-01-01T00:00:00.000Z"
    elsewhere = [
        replace(operation, request=replace(operation.request, slot=other)) for operation in story.values()
    ]
    verdict = judge(Run(SITE, (RESOURCE,), BEGAN, 1.0, (*story.values(), *elsewhere)))

    assert {finding.slot for finding in verdict.violations} == {other}


def test_race_without_a_winner_is_a_violation() -> None:
    """If every request of a race was refused, a refusal was wrong."""
    verdict = verdict_of(won_by_booking(), ada=refused(BOOKED))

    assert Clause.ONE_WINNER in broken_clauses(verdict)


def test_late_winner_alone_is_a_violation() -> None:
    """The 201 of a late booking does not replace a winner of the race."""
    verdict = verdict_of(won_by_booking(), ada=refused(BOOKED), late=confirmed("Lea"))

    assert Clause.ONE_WINNER in broken_clauses(verdict)


@pytest.mark.parametrize("field", ["id", "slot", "site", "resources", "patientName", "status"])
def test_confirmation_with_a_wrong_field_is_a_violation(field: str) -> None:
    """A 201 confirms the requested slot, resource and patient, with an id."""
    wrong = {**appointment("Ada"), field: ""}
    answer = Reply(201, {"message": "Booking confirmed", "appointment": wrong})
    verdict = verdict_of(won_by_booking(), ada=answer)

    assert f"the confirmation is wrong in {field}" in [finding.text for finding in verdict.violations]


@pytest.mark.parametrize(
    "answer",
    [
        refused("Slot taken"),
        refused(HELD),
        Reply(409, {"error": BOOKED, "more": 1}),
        Reply(400, {"error": "Missing slot or patientName"}),
        Reply(404, {"error": BOOKED}),
        Reply(200, {"message": "Booking confirmed", "appointment": {}}),
    ],
    ids=str,
)
def test_loser_gets_exactly_the_booked_refusal(answer: Reply) -> None:
    """Without holds, a loser gets 409 with exactly that body."""
    assert broken_clauses(verdict_of(won_by_booking(), bob=answer)) == {Clause.REFUSED}


def test_refusal_before_any_booking_began_is_a_violation() -> None:
    """`Slot already booked` is untrue before the successful booking was requested."""
    story = won_by_booking()
    story["ada"] = replace(story["ada"], invoked=1.5, returned=1.9)

    assert broken_clauses(verdict_of(story)) == {Clause.REFUSED}


@pytest.mark.parametrize(
    "answer",
    [
        Reply(None, problem="no answer in 15 s"),
        Reply(None, problem="cannot connect", sent=False),
        Reply(503, {"error": "No worker", "outcome": "not_executed"}),
        Reply(504, {"error": "Unknown", "outcome": "unknown"}),
        Reply(201, problem="the body is not a JSON object"),
    ],
    ids=str,
)
def test_request_without_an_answer_is_a_violation(answer: Reply) -> None:
    """A timeout, a lost connection, a 5xx and an unreadable body leave the request unanswered."""
    verdict = verdict_of(won_by_booking(), bob=answer)

    assert Clause.ANSWERED in broken_clauses(verdict)
    assert any("1 of 5 not answered" in finding.text for finding in verdict.violations)


def test_request_with_a_lost_answer_may_have_won() -> None:
    """A request whose answer was lost may have won, so the other refusals may be true."""
    lost = Reply(None, problem="no answer in 15 s")
    story = without(won_by_booking(), "read")

    assert broken_clauses(verdict_of(story, ada=lost)) == {Clause.ANSWERED}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"appointment": appointment("Bob")}),
        (200, {"appointment": {**appointment("Ada"), "status": "cancelled"}}),
        (404, {"error": "No such appointment"}),
    ],
)
def test_winner_must_read_back_as_confirmed(status: int, body: Json) -> None:
    """An appointment that reads back differently, or not at all, is not booked."""
    verdict = verdict_of(won_by_booking(), read=Reply(status, body))

    assert broken_clauses(verdict) == {Clause.READ_BACK}


def test_winner_that_was_never_read_back_is_not_proved() -> None:
    """A proof includes the read-back of the winner."""
    assert broken_clauses(verdict_of(without(won_by_booking(), "read"))) == {Clause.READ_BACK}


@pytest.mark.parametrize("answer", [refused(HELD), refused("No"), Reply(200, {})], ids=str)
def test_late_booking_must_be_refused_as_booked(answer: Reply) -> None:
    """After the race the slot stays taken, and a late booking is refused as booked."""
    assert Clause.LATE in broken_clauses(verdict_of(won_by_booking(), late=answer))


def test_confirmed_late_booking_is_a_second_winner() -> None:
    """A late 201 is a double booking, and a late request that was not refused."""
    verdict = verdict_of(won_by_booking(), late=confirmed("Lea"))

    assert {Clause.ONE_WINNER, Clause.LATE} <= broken_clauses(verdict)


def test_proof_without_a_late_booking_is_incomplete() -> None:
    """A proof includes a late booking that is refused."""
    assert broken_clauses(verdict_of(without(won_by_booking(), "late"))) == {Clause.LATE}


def raced_and_cancelled(answer: Reply, taken: list[Json]) -> list[Exchange]:
    """Return a sound race, then the cancel of Ada's booking, then a list of taken slots."""
    cancel = asked("cancel", "cancel", "", answer, at=6)
    free = asked("free", "slots", "", Reply(200, {"taken": taken}), at=8)
    ask = replace(cancel.request, body={"id": "id-of-Ada"})
    return [*won_by_booking().values(), replace(cancel, request=ask), free]


CANCELLED = Reply(
    200, {"message": "Booking cancelled", "appointment": {**appointment("Ada"), "status": "cancelled"}}
)


def judged(operations: Sequence[Exchange]) -> RaceVerdict:
    return judge(Run(SITE, (RESOURCE,), BEGAN, 1.0, tuple(operations)))


def test_cancelled_slot_may_be_won_again() -> None:
    """A slot that was cancelled is judged in a second race with its own winner, and is free at the end."""
    assert judged(raced_and_cancelled(CANCELLED, [])).proved
    second = [replace(each, request=replace(each.request, round=2)) for each in won_by_booking().values()]
    assert judged([*raced_and_cancelled(CANCELLED, []), *second]).proved
    refusals = [each for each in second if not each.confirmed and each.request.kind == "book"]
    assert not judged([*raced_and_cancelled(CANCELLED, []), *refusals]).proved


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (Reply(404, {"error": "No such appointment"}), []),
        (Reply(200, {"message": "Booking cancelled", "appointment": appointment("Ada")}), []),
        (CANCELLED, [{"slot": SLOT, "state": "booked"}]),
    ],
    ids=["not found", "still booked", "still taken"],
)
def test_cancel_that_frees_nothing_is_a_violation(answer: Reply, taken: list[Json]) -> None:
    """The cancel of a winner is confirmed, and then no cell of the slot is taken."""
    assert {each.clause for each in judged(raced_and_cancelled(answer, taken)).violations} == {Clause.FREED}
