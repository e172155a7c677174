"""Commands that only look."""

from datetime import date
from typing import Annotated

import typer

from ..contract.replies import AppointmentFound, AppointmentsFound, HistoryFound, SlotsFound
from .desk import Desk, lasting, path_of, sent, sheet, table
from .gateway import Query
from .options import LOCAL, AsJson, Day, Days, Id, ListedResources, Site, Url
from .times import shown, today, window
from .watch import watch_slots


def show(id: Id, url: Url = LOCAL, json: AsJson = False) -> None:
    """Show an appointment."""
    desk = Desk(url, json)
    answer = desk.ask("GET", path_of(id), AppointmentFound)
    desk.say(sheet("Appointment", answer.body.appointment), answer.json)


def history(id: Id, url: Url = LOCAL, json: AsJson = False) -> None:
    """Show what became of an appointment."""
    desk = Desk(url, json)
    answer = desk.ask("GET", f"{path_of(id)}/history", HistoryFound)
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
    resource: ListedResources = None,
    site: Site = None,
    days: Days = 1,
    url: Url = LOCAL,
    json: AsJson = False,
) -> None:
    """List the appointments of a day: of some resources, or of all."""
    day = day or today()
    desk = Desk(url, json)
    pages = desk.ask_all("appointments", AppointmentsFound, _query(day, days, resource, site))
    on = day if days == 1 else None
    rows = (
        (
            shown(appointment.slot, on),
            lasting(appointment.durationMinutes),
            ", ".join(appointment.resources),
            appointment.patientName,
            appointment.id,
        )
        for page in pages
        for appointment in page.body.appointments
    )
    listed = [appointment for page in pages for appointment in page.json["appointments"]]
    desk.say(
        table(_title(resource, day), ("slot", "min", "resources", "patient", "id"), rows),
        {"appointments": listed},
    )


def slots(
    day: Day = None,
    *,
    resource: ListedResources = None,
    site: Site = None,
    days: Days = 1,
    url: Url = LOCAL,
    json: AsJson = False,
) -> None:
    """List what is booked or held of some resources, or of all, without names."""
    day = day or today()
    desk = Desk(url, json)
    pages = desk.ask_all("slots", SlotsFound, _query(day, days, resource, site))
    on = day if days == 1 else None
    rows = (
        (shown(taken.slot, on), lasting(taken.durationMinutes), taken.resource, taken.state)
        for page in pages
        for taken in page.body.taken
    )
    body = {**pages[-1].json, "taken": [taken for page in pages for taken in page.json["taken"]]}
    desk.say(table(_title(resource, day), ("slot", "min", "resource", "state"), rows), body)


def watch(
    day: Day = None,
    *,
    resource: ListedResources = None,
    site: Site = None,
    days: Days = 1,
    every: Annotated[float, typer.Option("--every", min=0.1, help="Seconds between two looks")] = 2,
    url: Url = LOCAL,
    json: AsJson = False,
) -> None:
    """Print what is taken of some resources, or of all, and each change of it, until Ctrl-C."""
    watch_slots(Desk(url, json), _query(day or today(), days, resource, site), every)


def _title(resources: list[str] | None, day: date) -> str:
    return f"{', '.join(resources or ['All'])}, {day}"


def _query(day: date, days: int, resources: list[str] | None, site: str | None) -> Query:
    """What is asked of the days of some resources, or of all."""
    return {**sent(site=site, resource=resources or None), **window(day, days)}
