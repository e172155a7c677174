"""What a search for free slots asks for: one booking, or with `any` one of several bookings."""

from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from shared.contract.errors import InvalidRequest, NoSuchSchedule
from shared.contract.schedules import FindFreeSlots, FindNextFree
from shared.domain.grid import Grid
from shared.domain.schedule.free_starts import common_starts, offered_starts
from shared.domain.schedule.opening_hours import OpeningHours, Span
from shared.domain.schedule.services import Need, need_of_service
from shared.domain.schedule.site import SiteSchedules

NO_DURATION = "durationMinutes and service are not accepted here: every slot stands by itself"


@dataclass(frozen=True, eq=False)
class Want:
    """A booking that would do.

    `names`: its resources as the answer has them. `hours`: the schedules of those that have one.
    """

    names: tuple[str, ...]
    need: Need
    hours: tuple[OpeningHours, ...]

    @property
    def zone(self) -> ZoneInfo:
        return self.hours[0].zone

    def starts(self, span: Span, now: int) -> list[int]:
        """Return the starts that all schedules offer, in order."""
        return common_starts([offered_starts(hours, span, self.need.minutes, now) for hours in self.hours])


def wants_of(command: FindFreeSlots | FindNextFree, site: SiteSchedules, grid: Grid) -> list[Want]:
    """Return the bookings of which a search needs one.

    Raises:
        NoSuchSchedule: no schedule says when the resources are open, or a resource is unknown to an enforced
            site.
        InvalidRequest: the service, the duration or the resources are wrong.
    """
    if grid.minutes == 0 and (command.durationMinutes is not None or command.service is not None):
        raise InvalidRequest(NO_DURATION)
    if not command.any:
        if command.resource is None:
            raise InvalidRequest("Missing resource; with any=1 it may be absent")
        want = _want(command.resource, command, site, grid)
        return [replace(want, names=want.need.resources)]
    names = command.resource or tuple(sorted(site.by_resource))
    if command.service is not None:
        offering = tuple(name for name in names if _offers(site.by_resource.get(name), command.service))
        names = offering or names[:1]  # of which `need_of_service` refuses the service
    if not names:
        raise NoSuchSchedule
    return [_want((name,), command, site, grid) for name in names]


def _want(
    names: tuple[str, ...], command: FindFreeSlots | FindNextFree, site: SiteSchedules, grid: Grid
) -> Want:
    if command.service is not None:
        need = need_of_service(command.service, names, site.by_resource, command.durationMinutes)
    else:
        need = Need(names, command.durationMinutes or grid.minutes)
    hours = tuple(site.by_resource[name] for name in need.resources if name in site.by_resource)
    if not hours or (site.enforced and len(hours) < len(need.resources)):
        raise NoSuchSchedule
    return Want(names, need, hours)


def _offers(hours: OpeningHours | None, service: str) -> bool:
    return hours is not None and any(one.id == service for one in hours.schedule.services)
