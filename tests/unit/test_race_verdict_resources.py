"""The verdict of `make prove` judges requests for several resources by the resources that they share."""

from dataclasses import replace

from tests.proof.race.clauses import BOOKED, HELD, Clause
from tests.proof.race.exchanges import Exchange, Reply, Run
from tests.proof.race.verdict import RaceVerdict, judge
from tests.unit.race_stories import (
    BEGAN,
    SITE,
    appointment,
    asked,
    broken_clauses,
    confirmed,
    granted,
    refused,
    without,
)


def with_resources(resources: str, operation: Exchange) -> Exchange:
    """Return the operation with other resources, a letter each."""
    ask = replace(operation.request, body={**operation.request.body, "resources": [*resources]})
    return replace(operation, request=ask)


def won_by_two() -> dict[str, Exchange]:
    """Ada wins a, Bob wins b and c; requests that overlap with them are refused."""
    winners = (("Ada", "a"), ("Bob", "bc"))
    ada, bob = (Reply(200, {"appointment": appointment(*winner)}) for winner in winners)
    return {
        "ada": with_resources("a", asked("race", "book", "Ada", confirmed("Ada", "a"))),
        "bob": with_resources("cb", asked("race", "book", "Bob", confirmed("Bob", "bc"))),
        "cyd": with_resources("ab", asked("race", "book", "Cyd", refused(BOOKED))),
        "dan": with_resources("c", asked("race", "book", "Dan", refused(BOOKED))),
        "late": with_resources("abc", asked("late", "book", "Lea", refused(BOOKED), at=2)),
        "read ada": asked("read", "get", "", ada, at=4, id="id-of-Ada"),
        "read bob": asked("read", "get", "", bob, at=4, id="id-of-Bob"),
    }


def verdict_of_three(story: dict[str, Exchange]) -> RaceVerdict:
    return judge(Run(SITE, ("a", "b", "c"), BEGAN, 1.0, tuple(story.values())))


def test_winners_without_a_shared_resource_are_proved() -> None:
    """Several bookings of a slot may win if no two of them share a resource."""
    assert verdict_of_three(won_by_two()) == RaceVerdict(())


def test_two_winners_that_share_a_resource_are_a_violation() -> None:
    """The finding names the resource that two bookings got."""
    story = won_by_two()
    story["cyd"] = replace(story["cyd"], reply=confirmed("Cyd", "ab"))
    verdict = verdict_of_three(story)

    texts = {finding.text for finding in verdict.violations if finding.clause is Clause.ONE_OWNER}
    expected = {f"2 bookings of {resource} confirmed, at most 1 may be (2 via http)" for resource in "ab"}
    assert expected == texts


def test_refusal_without_a_winner_of_a_shared_resource_is_a_violation() -> None:
    """A booking of a free resource is not refused because another resource is booked."""
    story = without(without(won_by_two(), "bob"), "read bob")

    assert broken_clauses(verdict_of_three(story)) == {Clause.REFUSED}


def test_confirmation_of_some_resources_or_unsorted_ones_is_a_violation() -> None:
    """A confirmation contains all requested resources, sorted."""
    for resources in ("b", "cb"):
        story = won_by_two()
        story["bob"] = replace(story["bob"], reply=confirmed("Bob", resources))
        texts = [finding.text for finding in verdict_of_three(story).violations]
        assert "the confirmation is wrong in resources" in texts


def test_hold_and_booking_conflict_only_on_a_shared_resource() -> None:
    """A hold beside a booking of other resources is sound; one shared resource breaks it."""
    story = won_by_two()
    for resources, broken in (("c", set()), ("ac", {Clause.HOLDS})):
        hal = asked("race", "hold", "Hal", granted("t1", resources=resources), holdToken="t1")
        ivy = asked("race", "hold", "Ivy", refused(HELD), holdToken="t2")
        kept = without(without(without(story, "bob"), "read bob"), "dan")
        verdict = verdict_of_three(
            {**kept, "hal": with_resources(resources, hal), "ivy": with_resources("c", ivy)}
        )
        assert broken_clauses(verdict) == broken


def test_two_holds_conflict_only_on_a_shared_resource() -> None:
    """Two holds at once are a violation only if they share a resource."""
    for resources, together in (("c", False), ("bc", True)):
        kept = without(without(won_by_two(), "bob"), "read bob")
        hal = with_resources("b", asked("race", "hold", "Hal", granted("t1", resources="b"), holdToken="t1"))
        answer = granted("t2", resources=resources)
        ivy = with_resources(resources, asked("race", "hold", "Ivy", answer, holdToken="t2"))
        texts = [finding.text for finding in verdict_of_three({**kept, "hal": hal, "ivy": ivy}).violations]
        assert ("2 holds granted at once, at most 1 may be" in texts) == together


def won_by_one_and_a_hold() -> dict[str, Exchange]:
    """Ada wins a, Hal holds c; strangers are refused, and Hal books c."""
    story = without(without(without(won_by_two(), "bob"), "read bob"), "dan")
    hal = asked("race", "hold", "Hal", granted("t1", resources="c"), holdToken="t1")
    read = Reply(200, {"appointment": appointment("Hal", "c")})
    claim = asked("claim", "book", "Hal", confirmed("Hal", "c"), at=4, holdToken="t1")
    return {
        **story,
        "hal": with_resources("c", hal),
        "stranger": with_resources("c", asked("stranger", "book", "Sam", refused(HELD), at=2)),
        "other": with_resources("a", asked("stranger", "book", "Sue", refused(BOOKED), at=2)),
        "claim": with_resources("c", claim),
        "late": with_resources("abc", asked("late", "book", "Lea", refused(BOOKED), at=6)),
        "read hal": asked("read", "get", "", read, at=8, id="id-of-Hal"),
    }


def test_hold_and_booking_of_different_resources_are_proved() -> None:
    """`held` is a true refusal for a held resource, though another resource of that slot is booked."""
    assert verdict_of_three(won_by_one_and_a_hold()) == RaceVerdict(())


def test_booking_of_another_resource_does_not_excuse_refusing_the_holder() -> None:
    """A holder's booking succeeds though another resource of the slot is booked."""
    story = without(won_by_one_and_a_hold(), "read hal")
    story["claim"] = replace(story["claim"], reply=refused(HELD))

    assert broken_clauses(verdict_of_three(story)) == {Clause.HOLDS}
