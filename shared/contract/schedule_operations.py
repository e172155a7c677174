"""The operations on schedules."""

from typing import Any

from . import examples, replies, schedule_replies, schedules
from .caller import Scope
from .errors import NoSuchSchedule, PreconditionFailed
from .headers import ETAG
from .operation import BOOKING_GROUP, Call, Operation

SCHEDULES, SLOTS = "schedules", "slots"

_PATH = "/api/schedules/{site}/{resource}"
_PLACE: dict[str, Any] = {"site": examples.SITE, "resource": "dr-lee"}
_SCHEDULE: dict[str, Any] = {
    "title": "Dr Lee",
    "timeZone": "Europe/Berlin",
    "weekly": [
        {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "12:30"},
        {"days": ["mon", "thu"], "from": "14:00", "to": "18:00"},
    ],
    "exceptions": [
        {"holidays": "DE", "subdivision": "HH"},
        {"date": "2030-12-24", "hours": [{"from": "09:00", "to": "11:00"}]},
    ],
    "services": [
        {
            "id": "first-visit",
            "title": "First visit",
            "durationMinutes": examples.MINUTES,
            "bufferAfter": 10,
            "resources": ["room-2"],
        }
    ],
    "stepMinutes": 15,
    "leadMinutes": 120,
    "horizonDays": 90,
    "cutOffMinutes": 1440,
    "enforced": True,
}
_STORED = schedule_replies.ResourceSchedule(**_SCHEDULE, **_PLACE, version=1)

PUT = Operation(
    subject="schedule.v1.put",
    group=BOOKING_GROUP,
    example=schedules.PutSchedule(**_SCHEDULE, **_PLACE),
    answer=schedule_replies.ScheduleStored(schedule=_STORED),
    refusals=(PreconditionFailed,),
    http=Call(
        "putSchedule",
        "PUT",
        _PATH,
        SCHEDULES,
        "Create or replace a schedule",
        """The opening hours, services and booking rules of a resource. It is in force within 2 s.

Times are of the wall clock of `timeZone`, also on the days on which the clocks change. No booking that stands
is changed. With `If-Match`, the schedule needs that version; without, it may be absent.""",
        body=schedules.Schedule,
        answers=(ETAG,),
        scope=Scope.SCHEDULES,
    ),
)
GET = Operation(
    subject="schedule.v1.get",
    group=BOOKING_GROUP,
    example=schedules.GetSchedule(**_PLACE),
    answer=schedule_replies.ScheduleFound(schedule=_STORED),
    reads=True,
    refusals=(NoSuchSchedule,),
    http=Call(
        "getSchedule",
        "GET",
        _PATH,
        SCHEDULES,
        "Read a schedule",
        "The schedule of a resource.",
        answers=(ETAG,),
    ),
)
DELETE = Operation(
    subject="schedule.v1.delete",
    group=BOOKING_GROUP,
    example=schedules.DeleteSchedule(**_PLACE, ifVersion=1),
    answer=schedule_replies.ScheduleDeleted(),
    refusals=(NoSuchSchedule, PreconditionFailed),
    done_before=NoSuchSchedule,
    http=Call(
        "deleteSchedule",
        "DELETE",
        _PATH,
        SCHEDULES,
        "Delete a schedule",
        "Its bookings stay. With `If-Match`, the schedule needs that version; a retry of it gets 200 too.",
        scope=Scope.SCHEDULES,
    ),
)
LIST = Operation(
    subject="schedule.v1.list",
    group=BOOKING_GROUP,
    example=schedules.ListSchedules(site=examples.SITE),
    answer=schedule_replies.SchedulesFound(schedules=[_STORED]),
    reads=True,
    page=True,
    http=Call(
        "listSchedules",
        "GET",
        "/api/schedules/{site}",
        SCHEDULES,
        "List the schedules of a site",
        """A page of schedules, by resource.

Send `next` of a page as `cursor` to get the next page. The last page has no `next`.""",
    ),
)
SITES = Operation(
    subject="schedule.v1.sites",
    group=BOOKING_GROUP,
    example=schedules.ListSites(),
    answer=schedule_replies.SitesFound(sites=[examples.SITE]),
    reads=True,
    page=True,
    http=Call(
        "listSites",
        "GET",
        "/api/sites",
        SCHEDULES,
        "List the sites",
        """A page of the sites that have a schedule, by name. A key sees its own sites alone.

Send `next` of a page as `cursor` to get the next page. The last page has no `next`.""",
    ),
)

_FREE = schedule_replies.FreeSlotsFound(
    site=examples.SITE,
    free=[
        schedule_replies.FreeSlot(
            slot=examples.SLOT,
            local="2030-01-07T10:00:00+01:00",
            durationMinutes=examples.MINUTES,
            resources=examples.RESOURCES,
        )
    ],
)
FREE_SLOTS = Operation(
    subject="schedule.v1.free_slots",
    group=BOOKING_GROUP,
    example=schedules.FindFreeSlots.model_validate({**examples.WINDOW, "service": "first-visit"}),
    answer=_FREE,
    reads=True,
    page=True,
    refusals=(NoSuchSchedule,),
    http=Call(
        "findFreeSlots",
        "GET",
        "/api/free-slots",
        SLOTS,
        "Find free slots",
        """Starts at which the resources are open, not booked and not held, within lead and horizon.

Of several resources all are needed, with `any=1` one of them. A `service` sets the duration, and adds buffers
and resources.

Send `next` of a page as `cursor` to get the next page. The last page has no `next`.""",
    ),
)
NEXT_FREE = Operation(
    subject="schedule.v1.next_free",
    group=BOOKING_GROUP,
    example=schedules.FindNextFree.model_validate(
        {"site": examples.SITE, "resource": ["dr-lee"], "service": "first-visit"}
    ),
    answer=_FREE,
    reads=True,
    page=True,
    refusals=(NoSuchSchedule,),
    http=Call(
        "findNextFree",
        "GET",
        "/api/next-free",
        SLOTS,
        "Find the next free slot",
        """The first free slot from `from` on (default: now), at most a year ahead; or none.

The parameters are those of `/api/free-slots`.""",
    ),
)

CONFLICTS = Operation(
    subject="schedule.v1.conflicts",
    group=BOOKING_GROUP,
    example=schedules.ListConflicts(**_PLACE),
    answer=replies.AppointmentsFound(appointments=[examples.BOOKED]),
    reads=True,
    page=True,
    refusals=(NoSuchSchedule,),
    http=Call(
        "listConflicts",
        "GET",
        _PATH + "/conflicts",
        SCHEDULES,
        "List bookings outside the hours",
        """A page of the booked appointments of the resource that do not lie within its opening hours.

They end after `from` (default: now). A page may be empty and yet have a `next`: send it as `cursor`.""",
        scope=Scope.READ,
    ),
)

OPENINGS = Operation(
    subject="schedule.v1.openings",
    group=BOOKING_GROUP,
    example=schedules.ListOpenings.model_validate(examples.WINDOW),
    answer=schedule_replies.OpeningsFound(
        site=examples.SITE,
        open=[
            schedule_replies.Opening.model_validate(
                {"resource": "dr-lee", "from": examples.SLOT, "to": examples.LATER}
            )
        ],
    ),
    reads=True,
    page=True,
    http=Call(
        "listOpenings",
        "GET",
        "/api/openings",
        SLOTS,
        "List opening hours as instants",
        """When resources are open: the openings that overlap a window, whole, by resource and time.

Exceptions, public holidays and clock changes are accounted for. A page may be empty and yet have a `next`.

Send `next` of a page as `cursor` to get the next page. The last page has no `next`.""",
    ),
)

SCHEDULE_OPERATIONS: tuple[Operation[Any, Any], ...] = (
    PUT,
    GET,
    DELETE,
    LIST,
    SITES,
    CONFLICTS,
    OPENINGS,
    FREE_SLOTS,
    NEXT_FREE,
)
