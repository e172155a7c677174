"""The verdict of `make prove` accepts holds that are honoured, and names each broken one."""

from dataclasses import replace

import pytest

from tests.proof.race.clauses import BOOKED, HELD, Clause
from tests.proof.race.exchanges import Reply
from tests.proof.race.verdict import RaceVerdict
from tests.unit.race_stories import (
    appointment,
    asked,
    broken_clauses,
    confirmed,
    granted,
    refused,
    verdict_of,
    without,
    won_by_hold,
)


def test_winning_hold_that_its_holder_books_is_proved() -> None:
    """A hold may win the race if its holder then gets the booking."""
    assert verdict_of(won_by_hold()) == RaceVerdict(())


def test_two_holds_at_once_are_a_violation() -> None:
    """Two patients cannot hold one slot at the same time."""
    verdict = verdict_of(won_by_hold(), ivy=granted("t2"))

    assert "2 holds granted at once, at most 1 may be" in [finding.text for finding in verdict.violations]


def test_hold_may_follow_an_expired_hold() -> None:
    """A hold that is granted after the expiry of the first is not a second hold."""
    story = won_by_hold()
    story["ivy"] = replace(story["ivy"], invoked=1.2, returned=1.4)
    verdict = verdict_of(story, hal=granted("t1", seconds=1.1), ivy=granted("t2"))

    assert not [finding for finding in verdict.violations if "at once" in finding.text]


@pytest.mark.parametrize("field", ["token", "site", "resources", "slot", "expiresAt"])
def test_hold_with_a_wrong_field_is_a_violation(field: str) -> None:
    """A 200 holds the requested slot and resource, with the caller's token and an expiry."""
    body = granted("t1").body or {}
    answer = Reply(200, {**body, "hold": {**body["hold"], field: "?"}})
    verdict = verdict_of(won_by_hold(), hal=answer)

    assert f"the hold granted is wrong in {field}" in [finding.text for finding in verdict.violations]


def test_strangers_booking_of_a_held_slot_is_a_violation() -> None:
    """A stranger's booking that began after a hold was granted breaks the hold."""
    verdict = verdict_of(won_by_hold(), stranger=confirmed("Sam"), claim=refused(BOOKED))

    assert Clause.HOLDS in broken_clauses(verdict)
    assert "Hal was granted a hold, and Sam a booking" in [finding.text for finding in verdict.violations]


def test_hold_of_a_booked_slot_is_a_violation() -> None:
    """A hold requested after a booking was confirmed must be refused."""
    verdict = verdict_of(won_by_hold(), **{"late hold": granted("t3")})

    assert {Clause.HOLDS, Clause.LATE} <= broken_clauses(verdict)


@pytest.mark.parametrize("answer", [refused(BOOKED), Reply(400, {"error": "No"})], ids=str)
def test_strangers_booking_must_be_refused_as_held(answer: Reply) -> None:
    """A stranger's booking of a held slot is refused as held."""
    assert Clause.HOLDS in broken_clauses(verdict_of(won_by_hold(), stranger=answer))


def test_stranger_may_book_after_the_hold_expired() -> None:
    """An expired hold blocks no booking."""
    story = won_by_hold()
    read = {"read": asked("read", "get", "", Reply(200, {"appointment": appointment("Sam")}), id="id-of-Sam")}
    verdict = verdict_of(
        {**story, **read}, hal=granted("t1", seconds=2), stranger=confirmed("Sam"), claim=refused(BOOKED)
    )

    assert verdict.proved


def test_holder_whose_booking_is_refused_is_a_violation() -> None:
    """A holder's booking of the held slot succeeds."""
    assert Clause.HOLDS in broken_clauses(verdict_of(won_by_hold(), claim=refused(HELD)))


def hold_and_booking_in_flight_together() -> RaceVerdict:
    """Confirm Ada's booking and grant Hal's hold while both are in flight."""
    story = without(without(won_by_hold(), "stranger"), "claim")
    story["read"] = asked("read", "get", "", Reply(200, {"appointment": appointment("Ada")}), id="id-of-Ada")
    return verdict_of(story, ada=confirmed("Ada"))


def test_hold_and_strangers_booking_in_flight_together_are_not_both_granted() -> None:
    """A hold and a stranger's booking that are in flight at the same moment are never both granted."""
    assert broken_clauses(hold_and_booking_in_flight_together()) == {Clause.HOLDS}


def test_held_refusal_of_a_booked_slot_is_a_violation() -> None:
    """A request after a confirmed booking is refused as booked, not as held."""
    story = won_by_hold()
    story["ada"] = replace(story["ada"], invoked=5.5, returned=5.6)

    assert broken_clauses(verdict_of(story)) == {Clause.REFUSED}
