"""Read what a calendar shows: the bookings of a resource, and the schedules that have its titles and zone."""

from datetime import UTC, datetime, time, timedelta

from shared.client.command_client import CommandClient
from shared.client.requester import Requester
from shared.contract import schedule_operations
from shared.contract.commands import ListAppointments
from shared.contract.errors import NoSuchSchedule
from shared.contract.operations import LIST
from shared.contract.replies import Appointment
from shared.contract.schedule_replies import ResourceSchedule
from shared.contract.schedules import GetSchedule

PAST, FUTURE = timedelta(days=7), timedelta(days=90)
"""What a subscription shows, from the begin of the day in UTC, so that it does not change with the clock."""
LONGEST_WINDOW = timedelta(days=32)


async def read_schedules(
    client: CommandClient, site: str, resources: tuple[str, ...], requester: Requester | None = None
) -> dict[str, ResourceSchedule]:
    """Return the schedules of resources; a resource without one is absent.

    Raises:
        Refused
    """
    found = {}
    for resource in resources:
        try:
            command = GetSchedule(site=site, resource=resource)
            reply = await client.send(schedule_operations.GET, command, requester=requester)
        except NoSuchSchedule:
            continue
        found[resource] = reply.body.schedule
    return found


async def read_bookings(
    client: CommandClient, site: str, resource: str, now: datetime, requester: Requester | None = None
) -> list[Appointment]:
    """Return the booked appointments of a resource around a day, by slot, each once.

    A booking that is moved while the windows are read may be missing until the next read.

    Raises:
        Refused
    """
    today = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    begin, end = today - PAST, today + FUTURE
    found: dict[str, Appointment] = {}
    while begin < end:
        window_end = min(begin + LONGEST_WINDOW, end)
        cursor: str | None = None
        while True:
            window = ListAppointments.model_validate(
                {"site": site, "resource": resource, "from": begin, "to": window_end, "cursor": cursor}
            )
            page = (await client.send(LIST, window, requester=requester)).body
            found |= {appointment.id: appointment for appointment in page.appointments}
            if (cursor := page.next) is None:
                break
        begin = window_end
    return sorted(found.values(), key=lambda appointment: (appointment.slot, appointment.id))
