"""Define the commands that change something."""

from typing import Annotated
from uuid import uuid4

import typer

from ..contract.fields import trim_key
from ..contract.headers import IDEMPOTENCY_KEY, IF_MATCH, etag_of
from ..contract.replies import (
    BookingAmended,
    BookingCancelled,
    BookingConfirmed,
    BookingMoved,
    HoldPlaced,
    HoldReleased,
)
from .options import (
    LOCAL,
    ApiKey,
    AsJson,
    Contact,
    HeldSlot,
    HoldToken,
    Id,
    IfVersion,
    Key,
    Minutes,
    NewAttendance,
    NewName,
    NewSlot,
    Patient,
    Resources,
    Service,
    Site,
    Slot,
    Url,
)
from .output import Output, details, path_of, wire_fields


def book(
    slot: Slot,
    patient: Patient,
    *,
    contact: Contact = None,
    resource: Resources = None,
    minutes: Minutes = None,
    service: Service = None,
    hold: HoldToken = None,
    site: Site = None,
    key: Key = None,
    url: Url = LOCAL,
    api_key: ApiKey = None,
    json: AsJson = False,
) -> None:
    """Book a slot."""
    key = trim_key(key) or str(uuid4())
    body = wire_fields(
        slot=slot,
        patientName=patient,
        contact=contact,
        resources=resource,
        durationMinutes=minutes,
        service=service,
        holdToken=hold,
        site=site,
    )
    output = Output(url, json, api_key)
    answer = output.request(
        "POST",
        "book-appointment",
        BookingConfirmed,
        body=body,
        headers={IDEMPOTENCY_KEY: key},
        if_unknown=f"To learn what became of it, repeat it with --key {key}",
        if_cancelled="This booking was cancelled; send a new Idempotency-Key to book again",
    )
    output.print(details(answer.body.message, answer.body.appointment), answer.json)


def hold(
    slot: Slot,
    patient: Patient,
    *,
    contact: Contact = None,
    resource: Resources = None,
    minutes: Minutes = None,
    service: Service = None,
    token: Annotated[str | None, typer.Option("--token", help="A hold's own, which extends it")] = None,
    site: Site = None,
    url: Url = LOCAL,
    api_key: ApiKey = None,
    json: AsJson = False,
) -> None:
    """Keep a slot for a patient for a while."""
    token = token or str(uuid4())
    body = wire_fields(
        slot=slot,
        patientName=patient,
        contact=contact,
        resources=resource,
        durationMinutes=minutes,
        service=service,
        holdToken=token,
        site=site,
    )
    output = Output(url, json, api_key)
    answer = output.request(
        "POST",
        "hold-appointment",
        HoldPlaced,
        body=body,
        if_unknown=f"To learn what became of it, repeat it with --token {token}",
    )
    output.print(details(answer.body.message, answer.body.hold), answer.json)


def release(
    token: Annotated[str, typer.Argument(help="The hold's token")],
    *,
    slot: HeldSlot = None,
    site: Site = None,
    url: Url = LOCAL,
    api_key: ApiKey = None,
    json: AsJson = False,
) -> None:
    """End a hold, with all that it holds."""
    output = Output(url, json, api_key)
    body = wire_fields(slot=slot, holdToken=token, site=site)
    answer = output.request("POST", "release-hold", HoldReleased, body=body)
    output.print(answer.body.message, answer.json)


def cancel(
    id: Id, *, if_version: IfVersion = None, url: Url = LOCAL, api_key: ApiKey = None, json: AsJson = False
) -> None:
    """Cancel an appointment."""
    output = Output(url, json, api_key)
    answer = output.request("DELETE", path_of(id), BookingCancelled, headers=_if_match(if_version))
    output.print(details(answer.body.message, answer.body.appointment), answer.json)


def move(
    id: Id,
    slot: NewSlot = None,
    *,
    resource: Resources = None,
    minutes: Minutes = None,
    service: Service = None,
    hold: HoldToken = None,
    key: Key = None,
    if_version: IfVersion = None,
    url: Url = LOCAL,
    api_key: ApiKey = None,
    json: AsJson = False,
) -> None:
    """Move an appointment; what is left out stays as it is."""
    key = trim_key(key) or str(uuid4())
    output = Output(url, json, api_key)
    body = wire_fields(
        slot=slot, resources=resource, durationMinutes=minutes, service=service, holdToken=hold
    )
    answer = output.request(
        "PATCH",
        path_of(id),
        BookingMoved,
        body=body,
        headers={IDEMPOTENCY_KEY: key, **_if_match(if_version)},
        if_unknown=f"To learn what became of it, repeat it with --key {key}",
    )
    output.print(details(answer.body.message, answer.body.appointment), answer.json)


def amend(
    id: Id,
    *,
    name: NewName = None,
    attendance: NewAttendance = None,
    if_version: IfVersion = None,
    url: Url = LOCAL,
    api_key: ApiKey = None,
    json: AsJson = False,
) -> None:
    """Correct the patient's name, or note whether the patient came."""
    output = Output(url, json, api_key)
    body = wire_fields(patientName=name, attendance=attendance)
    answer = output.request("PATCH", path_of(id), BookingAmended, body=body, headers=_if_match(if_version))
    output.print(details(answer.body.message, answer.body.appointment), answer.json)


def _if_match(version: int | None) -> dict[str, str]:
    return {} if version is None else {IF_MATCH: etag_of(version)}
