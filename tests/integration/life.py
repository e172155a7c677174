"""Helpers for the life of a booking: commands over NATS, judged by their JSON alone."""

import asyncio
from collections.abc import Sequence
from typing import Any

from nats.aio.client import Client

from tests.callers import Answer, NatsCaller
from tests.integration.many import alone, ask_many

BOOKED = {"error": "Slot already booked"}
HELD = {"error": "Slot is currently held by another user"}
NO_SUCH = {"error": "No such appointment"}


def is_cancelled(appointment: dict[str, Any]) -> dict[str, Any]:
    """Return the body of the 409 for a cancelled appointment."""
    return {"error": "Appointment is cancelled", "appointment": appointment}


class Life(NatsCaller):
    """A NATS caller that also cancels, moves and reads bookings."""

    async def booked(self, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Book and return the appointment."""
        answer = await self.request("booking.v1.book", {**body, **more})
        assert answer.status == 201, answer
        appointment: dict[str, Any] = answer.body["appointment"]
        return appointment

    async def cancel(self, id: str) -> Answer:
        return await self.request("booking.v1.cancel", {"id": id})

    async def move(self, id: str, **where: Any) -> Answer:
        return await self.request("booking.v1.move", {"id": id, **where})

    async def found(self, id: str) -> dict[str, Any]:
        """Read the appointment as it stands now."""
        answer = await self.get(id)
        assert answer.status == 200, answer
        appointment: dict[str, Any] = answer.body["appointment"]
        return appointment

    async def changes(self, id: str) -> list[tuple[int, str, str]]:
        """Read an appointment's history: versions, types and slots."""
        answer = await self.request("booking.v1.history", {"id": id})
        assert answer.status == 200, answer
        return [(entry["version"], entry["type"], entry["slot"]) for entry in answer.body["history"]]


async def all_at_once(
    connection: Client,
    subject: str,
    commands: Sequence[dict[str, Any]],
    *,
    many: bool,
    asked_at: int | None = None,
) -> list[Answer]:
    """Send commands at once, singly or in one batch, with one `askedAt`; return their answers."""
    if many:
        asked = {} if asked_at is None else {"askedAt": asked_at}
        sent = [{**item, **asked} for item in alone(*commands)]
        replies = await ask_many(connection, f"{subject}_many", sent)
        return [
            Answer(reply["status"], reply["body"], {k.lower(): v for k, v in reply["headers"].items()})
            for reply in replies
        ]
    caller, headers = Life(connection), {} if asked_at is None else {"Asked-At": str(asked_at)}
    return await asyncio.gather(*(caller.request(subject, command, headers) for command in commands))
