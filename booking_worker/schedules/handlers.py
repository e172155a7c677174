"""Map the operations on schedules to their use cases and replies."""

from booking_worker.schedules.conflicts import ConflictReader
from booking_worker.schedules.directory import ScheduleDirectory
from booking_worker.schedules.free_slots import FreeSlotFinder
from booking_worker.schedules.openings import OpeningReader
from shared.contract import schedule_operations as operations
from shared.contract.envelope import Reply
from shared.contract.headers import ETAG, etag_of
from shared.contract.replies import AppointmentsFound
from shared.contract.schedule_replies import (
    FreeSlotsFound,
    OpeningsFound,
    ResourceSchedule,
    ScheduleDeleted,
    ScheduleFound,
    SchedulesFound,
    ScheduleStored,
)
from shared.worker.dispatcher import Handler, Handlers, unbatched


def schedule_handlers(
    directory: ScheduleDirectory, finder: FreeSlotFinder, conflicts: ConflictReader, openings: OpeningReader
) -> Handlers:
    """Return the handler of each operation on schedules."""
    return {
        operations.PUT: Handler(unbatched(directory.put), _stored),
        operations.GET: Handler(unbatched(directory.get), _found),
        operations.DELETE: Handler(unbatched(directory.delete), lambda _: Reply(ScheduleDeleted())),
        operations.LIST: Handler(unbatched(directory.list), lambda page: Reply.of_json(page, SchedulesFound)),
        operations.SITES: Handler(unbatched(directory.sites), Reply),
        operations.CONFLICTS: Handler(
            unbatched(conflicts.list), lambda page: Reply.of_json(page, AppointmentsFound)
        ),
        operations.OPENINGS: Handler(
            unbatched(openings.list), lambda page: Reply.of_json(page, OpeningsFound)
        ),
        operations.FREE_SLOTS: Handler(unbatched(finder.free_slots), _free),
        operations.NEXT_FREE: Handler(unbatched(finder.next_free), _free),
    }


def _free(page: str) -> Reply[FreeSlotsFound]:
    return Reply.of_json(page, FreeSlotsFound)


def _stored(schedule: ResourceSchedule) -> Reply[ScheduleStored]:
    return Reply(ScheduleStored(schedule=schedule), headers=_etag(schedule))


def _found(schedule: ResourceSchedule) -> Reply[ScheduleFound]:
    return Reply(ScheduleFound(schedule=schedule), headers=_etag(schedule))


def _etag(schedule: ResourceSchedule) -> dict[str, str]:
    return {ETAG: etag_of(schedule.version)}
