"""Commands that only look."""

from typing import Annotated
from urllib.parse import quote

import typer

from ..contract.replies import AppointmentFound, AppointmentsFound, HistoryFound, SlotsFound
from .desk import Desk, lasting, sent, sheet, table
from .options import LOCAL, AsJson, Day, Days, Id, Resource, Site, Url
from .times import shown, window
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
    desk.say(table(("at", "what", "slot", "minutes", "resources"), rows), answer.json)


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
    desk = Desk(url, json)
    query = {**sent(site=site), "resource": resource, **window(day, days)}
    pages = desk.ask_all("appointments", AppointmentsFound, query)
    rows = (
        (
            shown(appointment.slot),
            lasting(appointment.durationMinutes),
            appointment.patientName,
            appointment.id,
        )
        for page in pages
        for appointment in page.body.appointments
    )
    listed = [appointment for page in pages for appointment in page.json["appointments"]]
    desk.say(table(("slot", "minutes", "patient", "id"), rows), {"appointments": listed})


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
    desk = Desk(url, json)
    query = {**sent(site=site), "resource": resource, **window(day, days)}
    pages = desk.ask_all("slots", SlotsFound, query)
    rows = (
        (shown(taken.slot), lasting(taken.durationMinutes), taken.state)
        for page in pages
        for taken in page.body.taken
    )
    body = {**pages[-1].json, "taken": [taken for page in pages for taken in page.json["taken"]]}
    desk.say(table(("slot", "minutes", "state"), rows), body)


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
    query = {**sent(site=site), "resource": resource, **window(day, days)}
    watch_slots(Desk(url, json), query, every)
