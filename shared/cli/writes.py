"""Commands that change something."""

from typing import Annotated
from uuid import uuid4

import typer

from ..contract.fields import trim_key
from ..contract.headers import IDEMPOTENCY_KEY
from ..contract.replies import BookingCancelled, BookingConfirmed, BookingMoved, HoldPlaced, HoldReleased
from .desk import Desk, details, path_of, sent
from .options import (
    LOCAL,
    AsJson,
    HeldSlot,
    HoldToken,
    Id,
    Key,
    Minutes,
    NewSlot,
    Patient,
    Resources,
    Site,
    Slot,
    Url,
)


def book(
    slot: Slot,
    patient: Patient,
    *,
    resource: Resources = None,
    minutes: Minutes = None,
    hold: HoldToken = None,
    site: Site = None,
    key: Key = None,
    url: Url = LOCAL,
    json: AsJson = False,
) -> None:
    """Book a slot."""
    key = trim_key(key) or str(uuid4())
    body = sent(
        slot=slot,
        patientName=patient,
        resources=resource,
        durationMinutes=minutes,
        holdToken=hold,
        site=site,
    )
    desk = Desk(url, json)
    answer = desk.ask(
        "POST",
        "book-appointment",
        BookingConfirmed,
        body=body,
        headers={IDEMPOTENCY_KEY: key},
        if_unknown=f"To learn what became of it, repeat it with --key {key}",
    )
    desk.say(details(answer.body.message, answer.body.appointment), answer.json)


def hold(
    slot: Slot,
    patient: Patient,
    *,
    resource: Resources = None,
    minutes: Minutes = None,
    token: Annotated[str | None, typer.Option("--token", help="A hold's own, which extends it")] = None,
    site: Site = None,
    url: Url = LOCAL,
    json: AsJson = False,
) -> None:
    """Keep a slot for a patient for a while."""
    token = token or str(uuid4())
    body = sent(
        slot=slot,
        patientName=patient,
        resources=resource,
        durationMinutes=minutes,
        holdToken=token,
        site=site,
    )
    desk = Desk(url, json)
    answer = desk.ask(
        "POST",
        "hold-appointment",
        HoldPlaced,
        body=body,
        if_unknown=f"To learn what became of it, repeat it with --token {token}",
    )
    desk.say(details(answer.body.message, answer.body.hold), answer.json)


def release(
    token: Annotated[str, typer.Argument(help="The hold's token")],
    *,
    slot: HeldSlot = None,
    site: Site = None,
    url: Url = LOCAL,
    json: AsJson = False,
) -> None:
    """End a hold, with all that it holds."""
    desk = Desk(url, json)
    body = sent(slot=slot, holdToken=token, site=site)
    answer = desk.ask("POST", "release-hold", HoldReleased, body=body)
    desk.say(answer.body.message, answer.json)


def cancel(id: Id, url: Url = LOCAL, json: AsJson = False) -> None:
    """Cancel an appointment."""
    desk = Desk(url, json)
    answer = desk.ask("DELETE", path_of(id), BookingCancelled)
    desk.say(details(answer.body.message, answer.body.appointment), answer.json)


def move(
    id: Id,
    slot: NewSlot = None,
    *,
    resource: Resources = None,
    minutes: Minutes = None,
    hold: HoldToken = None,
    url: Url = LOCAL,
    json: AsJson = False,
) -> None:
    """Move an appointment; what is left out stays as it is."""
    desk = Desk(url, json)
    body = sent(slot=slot, resources=resource, durationMinutes=minutes, holdToken=hold)
    answer = desk.ask("PATCH", path_of(id), BookingMoved, body=body)
    desk.say(details(answer.body.message, answer.body.appointment), answer.json)
