"""Resolve a service to what its booking needs: resources, duration and buffers."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.contract.errors import InvalidRequest
from shared.contract.fields import MOST_RESOURCES
from shared.domain.booked_service import BookedService
from shared.domain.grid import Place, RequestedPlace
from shared.domain.schedule.opening_hours import OpeningHours


@dataclass(frozen=True)
class Need:
    """The resources of a booking, its minutes (0 on a grid of 0), and those before and after it."""

    resources: tuple[str, ...]
    minutes: int
    before: int = 0
    after: int = 0


def with_service(
    place: Place, service_id: str, schedules: Mapping[str, OpeningHours]
) -> tuple[RequestedPlace, BookedService]:
    """Return a place with all that a service needs there now, and the service as a booking keeps it.

    Raises:
        InvalidRequest: as `need_of_service`.
    """
    need = need_of_service(service_id, place.resources, schedules, place.durationMinutes)
    needed = RequestedPlace(place.site, need.resources, place.slot, need.minutes)
    return needed, BookedService(service_id, need.before, need.after)


def need_of_service(
    service_id: str,
    resources: tuple[str, ...],
    schedules: Mapping[str, OpeningHours],
    minutes: int | None = None,
) -> Need:
    """Return what a service needs at some resources.

    Args:
        service_id: the id of the service, which the schedule of one of the resources must have.
        resources: the resources of the request.
        schedules: the schedules of the site, by resource.
        minutes: the duration in the request, if it has one.

    Raises:
        InvalidRequest: no schedule has the service, schedules differ in it, or `minutes` is another duration.
    """
    services = [
        service
        for name in resources
        if name in schedules
        for service in schedules[name].schedule.services
        if service.id == service_id
    ]
    if not services:
        raise InvalidRequest("service must be a service of one of the resources")
    times = {(one.durationMinutes, one.bufferBefore, one.bufferAfter) for one in services}
    if len(times) > 1:
        raise InvalidRequest("service must have the same duration and buffers at all of the resources")
    ((lasting, before, after),) = times
    if minutes not in (None, lasting):
        raise InvalidRequest(f"durationMinutes must be {lasting} or absent with this service")
    added = {name for service in services for name in service.resources or ()}
    needed = tuple(sorted({*resources, *added}))
    if len(needed) > MOST_RESOURCES:
        raise InvalidRequest(f"resources must be at most {MOST_RESOURCES} with those of the service")
    return Need(needed, lasting, before, after)
