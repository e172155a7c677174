"""Define the commands that only read."""

from datetime import date
from typing import Any

from ..contract.commands import DEFAULT_SITE
from ..contract.replies import Appointment, AppointmentFound, AppointmentsFound, HistoryFound, SlotsFound
from .gateway import taken_of
from .options import LOCAL, ApiKey, AsJson, Day, Days, Id, Listed, Site, Url
from .output import NOT_SHOWN, Output, details, format_minutes, path_of, wire_fields
from .times import format_time, today, window
from .watch import watch_slots


def show(id: Id, url: Url = LOCAL, api_key: ApiKey = None, json: AsJson = False) -> None:
    """Show an appointment."""
    output = Output(url, json, api_key)
    answer = output.request("GET", path_of(id), AppointmentFound)
    output.print(details("Appointment", answer.body.appointment), answer.json)


def history(id: Id, url: Url = LOCAL, api_key: ApiKey = None, json: AsJson = False) -> None:
    """Show the changes of an appointment."""
    output = Output(url, json, api_key)
    answer = output.request("GET", f"{path_of(id)}/history", HistoryFound)
    rows = (
        (
            format_time(change.at),
            change.type,
            format_time(change.slot),
            format_minutes(change.durationMinutes),
            ", ".join(change.resources),
        )
        for change in answer.body.history
    )
    output.print_list("Changes", ("at", "what", "slot", "min", "resources"), rows, answer.json)


def day(
    day: Day = None,
    *,
    resource: Listed = None,
    site: Site = None,
    days: Days = 1,
    url: Url = LOCAL,
    api_key: ApiKey = None,
    json: AsJson = False,
) -> None:
    """List the appointments of a day, of a resource or several."""
    day = day or today()
    output = Output(url, json, api_key)
    found: dict[str, tuple[Appointment, Any]] = {}
    for query in queries(day, days, resource, site):
        for page in output.request_pages("appointments", AppointmentsFound, query):
            for appointment, as_sent in zip(page.body.appointments, page.json["appointments"], strict=True):
                found[appointment.id] = appointment, as_sent
    listed = sorted(found.values(), key=lambda each: (each[0].slot, each[0].id))
    on = day if days == 1 else None
    rows = (
        (
            format_time(appointment.slot, on),
            format_minutes(appointment.durationMinutes),
            appointment.patientName or NOT_SHOWN,
            ", ".join(appointment.resources),
            appointment.id,
        )
        for appointment, _ in listed
    )
    headings = ("slot", "min", "patient", "resources", "id")
    body = {"appointments": [as_sent for _, as_sent in listed]}
    output.print_list(_title(resource, site, day), headings, rows, body)


def slots(
    day: Day = None,
    *,
    resource: Listed = None,
    site: Site = None,
    days: Days = 1,
    url: Url = LOCAL,
    api_key: ApiKey = None,
    json: AsJson = False,
) -> None:
    """List the booked and held slots of a day, of a resource or several, without names."""
    day = day or today()
    output = Output(url, json, api_key)
    pages = [
        page
        for query in queries(day, days, resource, site)
        for page in output.request_pages("slots", SlotsFound, query)
    ]
    output.warn_of_holds(pages)
    listed = sorted(
        (each for page in pages for each in taken_of(page)),
        key=lambda each: (each[0].slot, each[1]["resource"]),
    )
    on = day if days == 1 else None
    rows = (
        (format_time(taken.slot, on), format_minutes(taken.durationMinutes), taken.state, as_sent["resource"])
        for taken, as_sent in listed
    )
    body = {**pages[-1].json, "taken": [as_sent for _, as_sent in listed]}
    output.print_list(_title(resource, site, day), ("slot", "min", "state", "resource"), rows, body)


def watch(
    day: Day = None,
    *,
    resource: Listed = None,
    site: Site = None,
    days: Days = 1,
    url: Url = LOCAL,
    api_key: ApiKey = None,
    json: AsJson = False,
) -> None:
    """Print the taken slots of a resource or several, and each change, until Ctrl-C."""
    of = {"resource": list(dict.fromkeys(resource))} if resource else {}
    query = {**wire_fields(site=site), **of, **window(day or today(), days)}
    watch_slots(Output(url, json, api_key), query)


def queries(day: date, days: int, resources: list[str] | None, site: str | None) -> list[dict[str, str]]:
    """Return a query for the days of each resource; without resources, the gateway uses its default."""
    at, within = wire_fields(site=site), window(day, days)
    named = [{**at, "resource": name, **within} for name in dict.fromkeys(resources or ())]
    return named or [{**at, **within}]


def _title(resources: list[str] | None, site: str | None, day: date) -> str:
    return f"{', '.join(resources or [site or DEFAULT_SITE])}, {day}"
