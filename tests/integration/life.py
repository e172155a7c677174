"""What becomes of a booking, asked for over NATS by its JSON alone."""

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
    """The body of a refusal because this appointment is cancelled."""
    return {"error": "Appointment is cancelled", "appointment": appointment}


class Life(NatsCaller):
    """A caller who also cancels, moves and reads."""

    async def booked(self, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The appointment that a booking makes."""
        answer = await self.request("booking.v1.book", {**body, **more})
        assert answer.status == 201, answer
        appointment: dict[str, Any] = answer.body["appointment"]
        return appointment

    async def cancel(self, id: str) -> Answer:
        return await self.request("booking.v1.cancel", {"id": id})

    async def move(self, id: str, **where: Any) -> Answer:
        return await self.request("booking.v1.move", {"id": id, **where})

    async def found(self, id: str) -> dict[str, Any]:
        """The appointment as it stands."""
        answer = await self.get(id)
        assert answer.status == 200, answer
        appointment: dict[str, Any] = answer.body["appointment"]
        return appointment

    async def changes(self, id: str) -> list[tuple[int, str, str]]:
        """The history of an appointment: versions, types and slots."""
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
    """Answers to commands that are sent singly, or in one message of many, all asked for at one moment."""
    if many:
        asked = {} if asked_at is None else {"askedAt": asked_at}
        sent = [{**each, **asked} for each in alone(*commands)]
        replies = await ask_many(connection, f"{subject}_many", sent)
        return [
            Answer(reply["status"], reply["body"], {k.lower(): v for k, v in reply["headers"].items()})
            for reply in replies
        ]
    caller, headers = Life(connection), {} if asked_at is None else {"Asked-At": str(asked_at)}
    return await asyncio.gather(*(caller.request(subject, command, headers) for command in commands))
