"""The schedules of a run: every resource offers a service with buffers, and no schedule is enforced."""

import asyncio

import httpx

from tests.proof.faults.places import VISIT, VISIT_MINUTES
from tests.proof.faults.slots import RESOURCES, SITES

PAUSE_SECONDS = 0.25
SERVICE = {
    "id": VISIT.id,
    "title": "Visit",
    "durationMinutes": VISIT_MINUTES,
    "bufferBefore": VISIT.before,
    "bufferAfter": VISIT.after,
}


async def offer_services(gateway: str) -> None:
    """Store the schedules, before any caller asks for the service."""
    async with httpx.AsyncClient(base_url=gateway, timeout=20) as client:
        for site in SITES:
            for resource in RESOURCES:
                schedule = {"title": resource, "timeZone": "UTC", "weekly": [], "services": [SERVICE]}
                path = f"/api/schedules/{site}/{resource}"
                while (answer := await client.put(path, json=schedule)).status_code in (503, 504):  # noqa: ASYNC110
                    await asyncio.sleep(PAUSE_SECONDS)
                assert answer.status_code == 200, answer.text
