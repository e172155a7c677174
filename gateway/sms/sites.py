"""What a conversation needs to know about a site: its zone, its service, its doctors and their cut-off."""

from dataclasses import dataclass
from time import monotonic
from zoneinfo import ZoneInfo

from gateway.sms.lines import Line
from shared.client.command_client import CommandClient
from shared.client.requester import Requester
from shared.contract.schedule_operations import LIST
from shared.contract.schedule_replies import ResourceSchedule
from shared.contract.schedules import ListSchedules

FRESH_SECONDS = 10.0
DEFAULT_SERVICE = "default"


@dataclass(frozen=True)
class SiteFacts:
    """`service`: what is booked; None if the site has no services. `services`: their titles, by id.

    `titles` and `cut_offs`: by resource.
    """

    zone: ZoneInfo
    service: str | None
    services: dict[str, str]
    titles: dict[str, str]
    cut_offs: dict[str, int]


class Sites:
    """Reads the schedules of sites, at most once in `FRESH_SECONDS`."""

    def __init__(self) -> None:
        self._known: dict[Line, tuple[float, SiteFacts]] = {}

    async def of(self, line: Line, client: CommandClient, requester: Requester) -> SiteFacts:
        """Return the facts about the site of a line.

        Raises:
            Refused: no worker answered.
        """
        read_at, facts = self._known.get(line, (-FRESH_SECONDS, None))
        if facts is None or monotonic() - read_at > FRESH_SECONDS:
            facts = await _read(line, client, requester)
            self._known[line] = monotonic(), facts
        return facts


async def _read(line: Line, client: CommandClient, requester: Requester) -> SiteFacts:
    schedules: list[ResourceSchedule] = []
    cursor: str | None = None
    while True:
        command = ListSchedules(site=line.site, cursor=cursor)
        page = (await client.send(LIST, command, requester=requester)).body
        schedules += page.schedules
        if (cursor := page.next) is None:
            break
    services: dict[str, str] = {}
    for service in (service for schedule in schedules for service in schedule.services):
        services.setdefault(service.id, service.title)
    first = DEFAULT_SERVICE if DEFAULT_SERVICE in services else next(iter(services), None)
    return SiteFacts(
        zone=ZoneInfo(schedules[0].timeZone if schedules else "UTC"),
        service=line.service or first,
        services=services,
        titles={schedule.resource: schedule.title for schedule in schedules},
        cut_offs={schedule.resource: schedule.cutOffMinutes or 0 for schedule in schedules},
    )
