"""Make the demo site of a new stack: two doctors, a room and opening hours."""

import asyncio
from pathlib import Path
from typing import Any

from shared.client.command_client import CommandClient
from shared.contract.errors import Refused
from shared.contract.schedule_operations import LIST, PUT
from shared.contract.schedules import ListSchedules, PutSchedule
from shared.process.nats_access import read_access

SITE = "demo"
SECONDS = 10
_DONE = "demo-site"
_ROOM = "room-1"
_WEEKLY = [
    {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "12:30"},
    {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "13:30", "to": "17:00"},
    {"days": ["sat"], "from": "10:00", "to": "13:00"},
]
_SERVICES = [
    {
        "id": "first-visit",
        "title": "First visit",
        "durationMinutes": 45,
        "bufferAfter": 10,
        "resources": [_ROOM],
    },
    {"id": "check-up", "title": "Check-up", "durationMinutes": 20},
]
_RESOURCES: dict[str, dict[str, Any]] = {
    "dr-lee": {"title": "Dr Lee", "services": _SERVICES},
    "dr-khan": {"title": "Dr Khan", "services": _SERVICES},
    _ROOM: {"title": "Room 1"},
}
_RULES = {"timeZone": "Europe/Berlin", "weekly": _WEEKLY, "horizonDays": 60, "enforced": True}


def make_demo_site(nats_url: str, access_file: str, data: Path) -> bool:
    """Make the demo site at the first start of a stack; return whether the site exists.

    A site that has a schedule stays as it is. A demo site that somebody has deleted does not come back.
    `access_file`: of the user of NATS; empty in a deployment without accounts.
    """
    try:
        return asyncio.run(_make(nats_url, access_file, data))
    except (Refused, TimeoutError):  # the next start tries again
        return False


async def _make(nats_url: str, access_file: str, data: Path) -> bool:
    done = data / _DONE
    access = read_access(Path(access_file)) if access_file else None
    async with asyncio.timeout(SECONDS), CommandClient(nats_url, name="demo-site", access=access) as client:
        found = (await client.send(LIST, ListSchedules(site=SITE))).content["schedules"]
        if not found and done.exists():
            return False
        for resource, own in _RESOURCES.items() if not found else ():
            command = PutSchedule.model_validate({**_RULES, **own, "site": SITE, "resource": resource})
            await client.send(PUT, command)
    done.touch()
    return True
