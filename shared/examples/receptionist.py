"""A command line for a receptionist, with one doctor and one room.

python receptionist.py --nats nats://localhost:4222 book 2030-01-07T09:00Z "Ada Lovelace"
python receptionist.py --nats nats://localhost:4222 day 2030-01-07
"""

import argparse
import asyncio
import sys
from datetime import datetime, timedelta
from uuid import uuid4

import structlog
from slotkeeper import Appointment, BookingClient, Refused

DOCTOR, ROOM, MINUTES = "dr-lee", "room-2", 30


def show(appointment: Appointment) -> None:
    when, patient = appointment.slot.astimezone(), appointment.patientName or "-"
    print(f"{when:%Y-%m-%d %H:%M}  {patient}  {appointment.id}  {appointment.status}")


async def run(arguments: argparse.Namespace) -> None:
    async with BookingClient(arguments.nats) as client:
        match arguments.command:
            case "book":
                booked = await client.book(
                    arguments.slot,
                    arguments.patient,
                    resources=[DOCTOR, ROOM],
                    duration_minutes=MINUTES,
                    idempotency_key=f"desk-{uuid4()}",
                )
                show(booked)
            case "move":
                show(await client.move(arguments.id, slot=arguments.slot))
            case "cancel":
                show(await client.cancel(arguments.id))
            case "day":
                begins = datetime.fromisoformat(arguments.day).astimezone()
                ends = begins + timedelta(days=1)
                async for appointment in client.appointments(begins, ends, resource=DOCTOR):
                    show(appointment)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nats", default="nats://localhost:4222")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, positional in (("book", "slot patient"), ("move", "id slot"), ("cancel", "id"), ("day", "day")):
        command = commands.add_parser(name)
        for argument in positional.split():
            command.add_argument(argument)
    # Send the log of the client to stderr; stdout is for the receptionist.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        asyncio.run(run(parser.parse_args()))
    except Refused as refused:
        sys.exit(f"{refused}")


if __name__ == "__main__":
    main()
