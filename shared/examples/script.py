"""A script: hold a slot, book it, move and cancel the booking, and print its history.

python script.py nats://localhost:4222 2030-01-07T09:00Z
"""

import asyncio
import sys
from datetime import datetime, timedelta
from uuid import uuid4

from slotkeeper import BookingClient, Conflict, NotExecuted, OutcomeUnknown

RESOURCES, MINUTES = ["dr-lee", "room-2"], 30


async def main(nats_url: str, slot: str) -> None:
    async with BookingClient(nats_url) as client:
        hold = await client.hold(slot, "Ada Lovelace", resources=RESOURCES, duration_minutes=MINUTES)
        print(f"Held until {hold.expiresAt:%H:%M:%S} UTC")

        # With the same key, a retry after any failure never books twice.
        key = f"script-{uuid4()}"
        while True:
            try:
                booked = await client.book(
                    slot,
                    "Ada Lovelace",
                    resources=RESOURCES,
                    duration_minutes=MINUTES,
                    hold_token=hold.token,
                    idempotency_key=key,
                )
            except Conflict as refused:
                sys.exit(f"{refused}")
            except (NotExecuted, OutcomeUnknown):
                await asyncio.sleep(1)
            else:
                break
        print(f"Booked: {booked.id}")

        try:
            grace = f"script-{uuid4()}"
            await client.book(
                slot, "Grace Hopper", resources=["room-2"], duration_minutes=15, idempotency_key=grace
            )
        except Conflict as refused:
            print(f"Grace: {refused}")

        moved = await client.move(booked.id, slot=booked.slot + timedelta(days=1))
        print(f"Moved to {moved.slot:%Y-%m-%d}")
        await client.cancel(booked.id)
        for change in await client.history(booked.id):
            print(f"{change.version}. {change.type}")

        midnight = datetime.fromisoformat(slot).replace(hour=0, minute=0)
        async for taken in client.slots(midnight, midnight + timedelta(days=7), resource="dr-lee"):
            print(f"{taken.slot:%Y-%m-%d %H:%M} {taken.state}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
