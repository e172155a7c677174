"""Operations of a race and their answers, written by hand for the tests of the verdict."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

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
    """Ada's booking wins against two other bookings, a late booking is refused, and Ada's is read back."""
    read = Reply(200, {"appointment": appointment("Ada")})
    return {
        "ada": asked("race", "book", "Ada", confirmed("Ada")),
        "bob": asked("race", "book", "Bob", refused(BOOKED)),
        "cyd": asked("race", "book", "Cyd", refused(BOOKED)),
        "late": asked("late", "book", "Lea", refused(BOOKED), at=2),
        "read": asked("read", "get", "", read, at=4, id="id-of-Ada"),
    }


def won_by_hold() -> dict[str, Exchange]:
    """Hal's hold wins against two bookings and a second hold, and Hal then books the slot."""
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
    """Judge `story` with some of its answers replaced."""
    replaced = {name: replace(story[name], reply=answer) for name, answer in answers.items()}
    return judge(Run(SITE, (RESOURCE,), BEGAN, 1.0, tuple({**story, **replaced}.values())))


def broken_clauses(verdict: RaceVerdict) -> set[Clause]:
    return {finding.clause for finding in verdict.violations}


def without(story: dict[str, Exchange], name: str) -> dict[str, Exchange]:
    return {key: operation for key, operation in story.items() if key != name}
