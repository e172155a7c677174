"""The verdict of the concurrency proof: sound runs pass, and each way of being unsound is named."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from tests.callers import Kind
from tests.proof.race.clauses import BOOKED, HELD, Clause
from tests.proof.race.exchanges import Exchange, Json, Reply, Request, Run, Step
from tests.proof.race.verdict import RaceVerdict, judge

SLOT = "2100-01-01T00:00:00.000Z"
SITE = "prove-unit"
RESOURCE = "room-1"
ORDINALS = count(1)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def asked(
    step: Step, kind: Kind, patient: str, answer: Reply, *, at: float = 0.0, took: float = 1.0, **body: Any
) -> Exchange:
    if kind != "get":
        body = {"slot": SLOT, "patientName": patient, "site": SITE, "resources": [RESOURCE], **body}
    ordinal = next(ORDINALS)
    ask = Request(ordinal, step, kind, "http", SLOT, f"{SITE}-{ordinal}", body)
    return Exchange(ask, at, at + took, answer)


def appointment(patient: str, resources: Sequence[str] = (RESOURCE,)) -> Json:
    return {
        "id": f"id-of-{patient}",
        "site": SITE,
        "resources": [*resources],
        "slot": SLOT,
        "patientName": patient,
        "status": "booked",
        "createdAt": "2026-01-01T00:00:00.000Z",
    }


def confirmed(patient: str, resources: Sequence[str] = (RESOURCE,)) -> Reply:
    return Reply(201, {"message": "Booking confirmed", "appointment": appointment(patient, resources)})


def refused(text: str) -> Reply:
    return Reply(409, {"error": text})


def granted(token: str, *, seconds: float = 300, resources: Sequence[str] = (RESOURCE,)) -> Reply:
    expires = (BEGAN + timedelta(seconds=seconds)).isoformat()
    hold = {
        "token": token,
        "site": SITE,
        "resources": [*resources],
        "slot": SLOT,
        "expiresAt": expires,
    }
    return Reply(200, {"message": "Slot held for 5 minutes", "hold": hold})


def won_by_booking() -> dict[str, Exchange]:
    """Three race, Ada wins, a latecomer is refused, Ada's booking is read back."""
    read = Reply(200, {"appointment": appointment("Ada")})
    return {
        "ada": asked("race", "book", "Ada", confirmed("Ada")),
        "bob": asked("race", "book", "Bob", refused(BOOKED)),
        "cyd": asked("race", "book", "Cyd", refused(BOOKED)),
        "late": asked("late", "book", "Lea", refused(BOOKED), at=2),
        "read": asked("read", "get", "", read, at=4, id="id-of-Ada"),
    }


def won_by_hold() -> dict[str, Exchange]:
    """Hal's hold wins against two bookings and another hold, is respected, and is then booked by Hal."""
    read = Reply(200, {"appointment": appointment("Hal")})
    return {
        "hal": asked("race", "hold", "Hal", granted("t1"), holdToken="t1"),
        "ivy": asked("race", "hold", "Ivy", refused(HELD), holdToken="t2"),
        "ada": asked("race", "book", "Ada", refused(HELD)),
        "bob": asked("race", "book", "Bob", refused(HELD)),
        "stranger": asked("stranger", "book", "Sam", refused(HELD), at=2),
        "claim": asked("claim", "book", "Hal", confirmed("Hal"), at=4, holdToken="t1"),
        "late": asked("late", "book", "Lea", refused(BOOKED), at=6),
        "late hold": asked("late", "hold", "Lou", refused(BOOKED), at=8, holdToken="t3"),
        "read": asked("read", "get", "", read, at=10, id="id-of-Hal"),
    }


def verdict_of(story: dict[str, Exchange], **answers: Reply) -> RaceVerdict:
    """The verdict on `story` with some of its answers replaced."""
    told = {name: replace(story[name], reply=answer) for name, answer in answers.items()}
    return judge(Run(SITE, (RESOURCE,), BEGAN, 1.0, tuple({**story, **told}.values())))


def broken_clauses(verdict: RaceVerdict) -> set[Clause]:
    return {finding.clause for finding in verdict.violations}


def without(story: dict[str, Exchange], name: str) -> dict[str, Exchange]:
    return {key: operation for key, operation in story.items() if key != name}


def test_one_winner_and_true_refusals_are_proved() -> None:
    """One 201, exact 409s, a refused latecomer and an equal read-back are a proof."""
    assert verdict_of(won_by_booking()) == RaceVerdict(())


def test_a_hold_that_wins_and_is_claimed_is_proved() -> None:
    """A hold may win the race, as long as its holder then gets the booking."""
    assert verdict_of(won_by_hold()) == RaceVerdict(())


def test_two_confirmed_bookings_are_a_violation() -> None:
    """A slot with two 201s is double-booked, and the line says how many."""
    verdict = verdict_of(won_by_booking(), bob=confirmed("Bob"))

    assert not verdict.proved
    assert "2 bookings confirmed, at most 1 may be (2 via http)" in str(verdict.violations[0])
    assert str(verdict.violations[0]).startswith(SLOT)


def test_slots_are_judged_apart() -> None:
    """A violation is told of the slot where it happened, not of its neighbour."""
    story = won_by_booking()
    other = "2200-01-01T00:00:00.000Z"
    elsewhere = [
        replace(operation, request=replace(operation.request, slot=other)) for operation in story.values()
    ]
    verdict = judge(Run(SITE, (RESOURCE,), BEGAN, 1.0, (*story.values(), *elsewhere)))

    assert {finding.slot for finding in verdict.violations} == {other}


def test_a_race_that_nobody_wins_is_a_violation() -> None:
    """Where all were refused, the refusals were wrong."""
    verdict = verdict_of(won_by_booking(), ada=refused(BOOKED))

    assert Clause.ONE_WINNER in broken_clauses(verdict)


def test_a_winner_that_only_came_late_is_a_violation() -> None:
    """A latecomer's 201 does not stand in for a winner of the race."""
    verdict = verdict_of(won_by_booking(), ada=refused(BOOKED), late=confirmed("Lea"))

    assert Clause.ONE_WINNER in broken_clauses(verdict)


@pytest.mark.parametrize("field", ["id", "slot", "site", "resources", "patientName", "status"])
def test_a_confirmation_of_something_else_is_a_violation(field: str) -> None:
    """A 201 must confirm the slot, resource and patient that were asked for, with an id."""
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
def test_a_loser_hears_exactly_that_the_slot_is_booked(answer: Reply) -> None:
    """Without holds, a loser's answer is 409 with that one body and nothing else."""
    assert broken_clauses(verdict_of(won_by_booking(), bob=answer)) == {Clause.REFUSED}


def test_a_refusal_before_any_booking_began_is_a_violation() -> None:
    """`Slot already booked` is untrue when it was said before anyone had asked to book successfully."""
    story = won_by_booking()
    story["ada"] = replace(story["ada"], invoked=1.5, returned=1.9)

    assert broken_clauses(verdict_of(story)) == {Clause.REFUSED}


def test_held_is_not_said_of_a_booked_slot() -> None:
    """Once a booking was confirmed, whoever asks later hears that it is booked, not that it is held."""
    story = won_by_hold()
    story["ada"] = replace(story["ada"], invoked=5.5, returned=5.6)

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
def test_a_request_without_an_answer_is_a_violation(answer: Reply) -> None:
    """A timeout, a lost connection, a 5xx and an unreadable body all leave the caller without an answer."""
    verdict = verdict_of(won_by_booking(), bob=answer)

    assert Clause.ANSWERED in broken_clauses(verdict)
    assert any("1 of 5 not answered" in finding.text for finding in verdict.violations)


def test_a_lost_answer_may_have_been_the_winner() -> None:
    """Where an answer was lost, that the others were refused is not held against them."""
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
def test_the_winner_must_read_back_as_confirmed(status: int, body: Json) -> None:
    """An appointment that reads back differently, or not at all, was not really booked."""
    verdict = verdict_of(won_by_booking(), read=Reply(status, body))

    assert broken_clauses(verdict) == {Clause.READ_BACK}


def test_a_winner_that_was_never_read_back_is_not_proved() -> None:
    """The proof is incomplete without the read-back."""
    assert broken_clauses(verdict_of(without(won_by_booking(), "read"))) == {Clause.READ_BACK}


@pytest.mark.parametrize("answer", [refused(HELD), refused("No"), Reply(200, {})], ids=str)
def test_a_latecomer_must_hear_that_the_slot_is_booked(answer: Reply) -> None:
    """After the race the slot stays taken, and whoever asks is told so."""
    assert Clause.LATE in broken_clauses(verdict_of(won_by_booking(), late=answer))


def test_a_confirmed_latecomer_is_a_second_winner() -> None:
    """A late 201 counts as a double booking and as a late request that was not refused."""
    verdict = verdict_of(won_by_booking(), late=confirmed("Lea"))

    assert {Clause.ONE_WINNER, Clause.LATE} <= broken_clauses(verdict)


def test_a_proof_without_a_latecomer_is_not_complete() -> None:
    """The proof is incomplete if nobody asked late."""
    assert broken_clauses(verdict_of(without(won_by_booking(), "late"))) == {Clause.LATE}


def test_two_holds_at_once_are_a_violation() -> None:
    """Two patients cannot hold one slot together."""
    verdict = verdict_of(won_by_hold(), ivy=granted("t2"))

    assert "2 holds granted at once, at most 1 may be" in [finding.text for finding in verdict.violations]


def test_one_hold_may_follow_another_that_expired() -> None:
    """A hold granted after the first one's expiry is no second hold."""
    story = won_by_hold()
    story["ivy"] = replace(story["ivy"], invoked=1.2, returned=1.4)
    verdict = verdict_of(story, hal=granted("t1", seconds=1.1), ivy=granted("t2"))

    assert not [finding for finding in verdict.violations if "at once" in finding.text]


@pytest.mark.parametrize("field", ["token", "site", "resources", "slot", "expiresAt"])
def test_a_hold_of_something_else_is_a_violation(field: str) -> None:
    """A 200 must hold the slot and resource that were asked for, with the caller's token and an expiry."""
    body = granted("t1").body or {}
    answer = Reply(200, {**body, "hold": {**body["hold"], field: "?"}})
    verdict = verdict_of(won_by_hold(), hal=answer)

    assert f"the hold granted is wrong in {field}" in [finding.text for finding in verdict.violations]


def test_a_booking_of_what_another_holds_is_a_violation() -> None:
    """A stranger's booking that began after a hold was granted breaks the hold."""
    verdict = verdict_of(won_by_hold(), stranger=confirmed("Sam"), claim=refused(BOOKED))

    assert Clause.HOLDS in broken_clauses(verdict)
    assert "Hal was granted a hold, and Sam a booking" in [finding.text for finding in verdict.violations]


def test_a_hold_of_what_was_booked_is_a_violation() -> None:
    """A hold granted to a request that began after a booking was confirmed promises what is gone."""
    verdict = verdict_of(won_by_hold(), **{"late hold": granted("t3")})

    assert {Clause.HOLDS, Clause.LATE} <= broken_clauses(verdict)


@pytest.mark.parametrize("answer", [refused(BOOKED), Reply(400, {"error": "No"})], ids=str)
def test_a_stranger_hears_that_the_slot_is_held(answer: Reply) -> None:
    """Whoever asks to book a slot that another holds is told so."""
    assert Clause.HOLDS in broken_clauses(verdict_of(won_by_hold(), stranger=answer))


def test_a_stranger_may_book_what_is_no_longer_held() -> None:
    """A hold binds nobody after its expiry."""
    story = won_by_hold()
    read = {"read": asked("read", "get", "", Reply(200, {"appointment": appointment("Sam")}), id="id-of-Sam")}
    verdict = verdict_of(
        {**story, **read}, hal=granted("t1", seconds=2), stranger=confirmed("Sam"), claim=refused(BOOKED)
    )

    assert verdict.proved


def test_a_holder_who_cannot_book_is_a_violation() -> None:
    """A hold is worth nothing if its holder is refused."""
    assert Clause.HOLDS in broken_clauses(verdict_of(won_by_hold(), claim=refused(HELD)))


def crossing() -> RaceVerdict:
    """Ada's booking and Hal's hold, under way together, both granted."""
    story = without(without(won_by_hold(), "stranger"), "claim")
    story["read"] = asked("read", "get", "", Reply(200, {"appointment": appointment("Ada")}), id="id-of-Ada")
    return verdict_of(story, ada=confirmed("Ada"))


def test_a_hold_and_a_booking_that_cross_are_a_violation() -> None:
    """A hold and another's booking that are under way at the same moment are never both granted."""
    assert broken_clauses(crossing()) == {Clause.HOLDS}


def wanting(resources: str, operation: Exchange) -> Exchange:
    """The operation with other resources, a letter each."""
    ask = replace(operation.request, body={**operation.request.body, "resources": [*resources]})
    return replace(operation, request=ask)


def won_by_two() -> dict[str, Exchange]:
    """Ada wins a, Bob b and c; who wants some of that is refused, and a latecomer who wants it all."""
    ada, bob = (Reply(200, {"appointment": appointment(*who)}) for who in (("Ada", "a"), ("Bob", "bc")))
    return {
        "ada": wanting("a", asked("race", "book", "Ada", confirmed("Ada", "a"))),
        "bob": wanting("cb", asked("race", "book", "Bob", confirmed("Bob", "bc"))),
        "cyd": wanting("ab", asked("race", "book", "Cyd", refused(BOOKED))),
        "dan": wanting("c", asked("race", "book", "Dan", refused(BOOKED))),
        "late": wanting("abc", asked("late", "book", "Lea", refused(BOOKED), at=2)),
        "read ada": asked("read", "get", "", ada, at=4, id="id-of-Ada"),
        "read bob": asked("read", "get", "", bob, at=4, id="id-of-Bob"),
    }


def verdict_of_three(story: dict[str, Exchange]) -> RaceVerdict:
    return judge(Run(SITE, ("a", "b", "c"), BEGAN, 1.0, tuple(story.values())))


def test_winners_that_share_nothing_are_proved() -> None:
    """Of several resources, several bookings may win, where no two of them share one."""
    assert verdict_of_three(won_by_two()) == RaceVerdict(())


def test_two_winners_that_share_a_resource_are_a_violation() -> None:
    """The line names the resource that two bookings got."""
    story = won_by_two()
    story["cyd"] = replace(story["cyd"], reply=confirmed("Cyd", "ab"))
    verdict = verdict_of_three(story)

    texts = {finding.text for finding in verdict.violations if finding.clause is Clause.ONE_OWNER}
    assert {f"2 bookings of {each} confirmed, at most 1 may be (2 via http)" for each in "ab"} == texts


def test_a_refusal_that_shares_nothing_with_a_winner_is_a_violation() -> None:
    """Whoever wants what nobody booked is not refused because of others' bookings."""
    story = without(without(won_by_two(), "bob"), "read bob")

    assert broken_clauses(verdict_of_three(story)) == {Clause.REFUSED}


def test_a_confirmation_of_part_of_what_was_asked_is_a_violation() -> None:
    """All of the resources are booked, and told sorted."""
    for told in ("b", "cb"):
        story = won_by_two()
        story["bob"] = replace(story["bob"], reply=confirmed("Bob", told))
        texts = [finding.text for finding in verdict_of_three(story).violations]
        assert "the confirmation is wrong in resources" in texts


def test_a_hold_binds_those_who_share_a_resource_with_it() -> None:
    """A hold beside a booking of other resources is sound; one resource in common makes it broken."""
    story = won_by_two()
    for resources, broken in (("c", set()), ("ac", {Clause.HOLDS})):
        hal = asked("race", "hold", "Hal", granted("t1", resources=resources), holdToken="t1")
        ivy = asked("race", "hold", "Ivy", refused(HELD), holdToken="t2")
        kept = without(without(without(story, "bob"), "read bob"), "dan")
        verdict = verdict_of_three({**kept, "hal": wanting(resources, hal), "ivy": wanting("c", ivy)})
        assert broken_clauses(verdict) == broken


def test_holds_of_different_resources_stand_together() -> None:
    """Two holds are two too many only where they share a resource."""
    for resources, together in (("c", False), ("bc", True)):
        kept = without(without(won_by_two(), "bob"), "read bob")
        hal = wanting("b", asked("race", "hold", "Hal", granted("t1", resources="b"), holdToken="t1"))
        answer = granted("t2", resources=resources)
        ivy = wanting(resources, asked("race", "hold", "Ivy", answer, holdToken="t2"))
        texts = [finding.text for finding in verdict_of_three({**kept, "hal": hal, "ivy": ivy}).violations]
        assert ("2 holds granted at once, at most 1 may be" in texts) == together


def won_by_one_and_a_hold() -> dict[str, Exchange]:
    """Ada wins a, Hal holds c; strangers are refused for what they want, and Hal books what he holds."""
    story = without(without(without(won_by_two(), "bob"), "read bob"), "dan")
    hal = asked("race", "hold", "Hal", granted("t1", resources="c"), holdToken="t1")
    read = Reply(200, {"appointment": appointment("Hal", "c")})
    claim = asked("claim", "book", "Hal", confirmed("Hal", "c"), at=4, holdToken="t1")
    return {
        **story,
        "hal": wanting("c", hal),
        "stranger": wanting("c", asked("stranger", "book", "Sam", refused(HELD), at=2)),
        "other": wanting("a", asked("stranger", "book", "Sue", refused(BOOKED), at=2)),
        "claim": wanting("c", claim),
        "late": wanting("abc", asked("late", "book", "Lea", refused(BOOKED), at=6)),
        "read hal": asked("read", "get", "", read, at=8, id="id-of-Hal"),
    }


def test_a_hold_beside_a_winner_is_proved() -> None:
    """`held` is true of what is held, though something else of that slot is booked; each to its own."""
    assert verdict_of_three(won_by_one_and_a_hold()) == RaceVerdict(())


def test_a_holder_who_cannot_book_beside_a_winner_is_a_violation() -> None:
    """That somebody booked something else is no reason to refuse the holder."""
    story = without(won_by_one_and_a_hold(), "read hal")
    story["claim"] = replace(story["claim"], reply=refused(HELD))

    assert broken_clauses(verdict_of_three(story)) == {Clause.HOLDS}


def given_back(answer: Reply, taken: list[Json]) -> list[Exchange]:
    """A sound race, after which Ada's booking is cancelled and the slot is looked at."""
    cancel = asked("cancel", "cancel", "", answer, at=6)
    free = asked("free", "slots", "", Reply(200, {"taken": taken}), at=8)
    ask = replace(cancel.request, body={"id": "id-of-Ada"})
    return [*won_by_booking().values(), replace(cancel, request=ask), free]


CANCELLED = Reply(
    200, {"message": "Booking cancelled", "appointment": {**appointment("Ada"), "status": "cancelled"}}
)


def judged(operations: Sequence[Exchange]) -> RaceVerdict:
    return judge(Run(SITE, (RESOURCE,), BEGAN, 1.0, tuple(operations)))


def test_what_is_cancelled_may_be_won_again() -> None:
    """A slot that was given back is judged anew, with a winner of its own, and is free in the end."""
    assert judged(given_back(CANCELLED, [])).proved
    again = [replace(each, request=replace(each.request, round=2)) for each in won_by_booking().values()]
    assert judged([*given_back(CANCELLED, []), *again]).proved
    lost = [each for each in again if not each.confirmed and each.request.kind == "book"]
    assert not judged([*given_back(CANCELLED, []), *lost]).proved


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (Reply(404, {"error": "No such appointment"}), []),
        (Reply(200, {"message": "Booking cancelled", "appointment": appointment("Ada")}), []),
        (CANCELLED, [{"slot": SLOT, "state": "booked"}]),
    ],
    ids=["not found", "still booked", "still taken"],
)
def test_a_cancel_that_frees_nothing_is_a_violation(answer: Reply, taken: list[Json]) -> None:
    """A winner's cancel is confirmed as such, and then nothing of the slot is taken."""
    assert {each.clause for each in judged(given_back(answer, taken)).violations} == {Clause.FREED}
