"""Commands that only look."""

from typing import Annotated
from urllib.parse import quote

import typer

from ..contract.replies import AppointmentFound, AppointmentsFound, HistoryFound, SlotsFound
from .desk import Desk, lasting, sent, sheet, table
from .options import LOCAL, AsJson, Day, Days, Id, Resource, Site, Url
from .times import shown, today, window
from .watch import watch_slots


def show(id: Id, url: Url = LOCAL, json: AsJson = False) -> None:
    """Show an appointment."""
    desk = Desk(url, json)
    answer = desk.ask("GET", f"appointments/{quote(id, safe='')}", AppointmentFound)
    desk.say(sheet("Appointment", answer.body.appointment), answer.json)


def history(id: Id, url: Url = LOCAL, json: AsJson = False) -> None:
    """Show what became of an appointment."""
    desk = Desk(url, json)
    answer = desk.ask("GET", f"appointments/{quote(id, safe='')}/history", HistoryFound)
    rows = (
        (
            shown(change.at),
            change.type,
            shown(change.slot),
            lasting(change.durationMinutes),
            ", ".join(change.resources),
        )
        for change in answer.body.history
    )
    desk.say(table("Changes", ("at", "what", "slot", "min", "resources"), rows), answer.json)


def day(
    day: Day = None,
    *,
    resource: Resource = "default",
    site: Site = None,
    days: Days = 1,
    url: Url = LOCAL,
    json: AsJson = False,
) -> None:
    """List the appointments of a resource's day."""
    day = day or today()
    desk = Desk(url, json)
    query = {**sent(site=site), "resource": resource, **window(day, days)}
    pages = desk.ask_all("appointments", AppointmentsFound, query)
    on = day if days == 1 else None
    rows = (
        (
            shown(appointment.slot, on),
            lasting(appointment.durationMinutes),
            appointment.patientName,
            appointment.id,
        )
        for page in pages
        for appointment in page.body.appointments
    )
    listed = [appointment for page in pages for appointment in page.json["appointments"]]
    desk.say(table(f"{resource}, {day}", ("slot", "min", "patient", "id"), rows), {"appointments": listed})


def slots(
    day: Day = None,
    *,
    resource: Resource = "default",
    site: Site = None,
    days: Days = 1,
    url: Url = LOCAL,
    json: AsJson = False,
) -> None:
    """List what is booked or held of a resource, without names."""
    day = day or today()
    desk = Desk(url, json)
    query = {**sent(site=site), "resource": resource, **window(day, days)}
    pages = desk.ask_all("slots", SlotsFound, query)
    on = day if days == 1 else None
    rows = (
        (shown(taken.slot, on), lasting(taken.durationMinutes), taken.state)
        for page in pages
        for taken in page.body.taken
    )
    body = {**pages[-1].json, "taken": [taken for page in pages for taken in page.json["taken"]]}
    desk.say(table(f"{resource}, {day}", ("slot", "min", "state"), rows), body)


def watch(
    day: Day = None,
    *,
    resource: Resource = "default",
    site: Site = None,
    days: Days = 1,
    every: Annotated[float, typer.Option("--every", min=0.1, help="Seconds between two looks")] = 2,
    url: Url = LOCAL,
    json: AsJson = False,
) -> None:
    """Print what is taken of a resource, and each change of it, until Ctrl-C."""
    query = {**sent(site=site), "resource": resource, **window(day or today(), days)}
    watch_slots(Desk(url, json), query, every)
