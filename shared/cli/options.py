"""Define each argument and option of the commands once."""

import re
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from ..contract.fields import IdempotencyKey
from .times import read_day, read_slot

LOCAL = "http://127.0.0.1:3000"
LOCAL_NATS = "nats://localhost:4222"
_HEADER_VALUE = re.compile("[!-~]+")
_KEY = TypeAdapter[str](IdempotencyKey)


def _read_id(text: str) -> str:
    if not text.strip():
        raise typer.BadParameter("must not be empty")
    return text


def _read_key(text: str) -> str:
    try:
        return _KEY.validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"]) from None


def _read_api_key(text: str) -> str:
    """Return a key that a header can carry; the error does not repeat it."""
    if not _HEADER_VALUE.fullmatch(text.strip()):
        raise typer.BadParameter("is not a key")
    return text.strip()


Slot = Annotated[
    datetime, typer.Argument(parser=read_slot, metavar="SLOT", help="'2030-01-07 09:00', 'tomorrow 09:00'")
]
NewSlot = Annotated[
    datetime | None, typer.Argument(parser=read_slot, metavar="[SLOT]", help="Where to, if elsewhere")
]
HeldSlot = Annotated[
    datetime | None,
    typer.Option("--slot", parser=read_slot, metavar="SLOT", help="Only if the hold has this slot"),
]
Patient = Annotated[str, typer.Argument(help="The patient's name")]
Contact = Annotated[
    str | None, typer.Option("--contact", metavar="TEXT", help="The patient's phone number or address")
]
NewName = Annotated[str | None, typer.Option("--name", metavar="TEXT", help="The right name of the patient")]
NewAttendance = Annotated[
    str | None, typer.Option("--attendance", metavar="TEXT", help="expected, arrived or missed")
]
Id = Annotated[str, typer.Argument(parser=_read_id, metavar="ID", help="The appointment's id")]
Key = Annotated[
    str | None,
    typer.Option("--key", parser=_read_key, metavar="TEXT", help="Makes a repeat safe: new for each change"),
]
Since = Annotated[
    datetime | None,
    typer.Option("--since", parser=read_slot, metavar="TIME", help="From that time on, else from now on"),
]
Durable = Annotated[
    str | None,
    typer.Option("--durable", metavar="NAME", help="NATS remembers under this name what was printed"),
]
Nats = Annotated[str, typer.Option("--nats", envvar="NATS_URL", help="A server of NATS, or several")]
Access = Annotated[
    Path | None,
    typer.Option(
        "--access", envvar="NATS_ACCESS_FILE", metavar="FILE", help="The access file, if NATS has accounts"
    ),
]
Day = Annotated[
    date | None,
    typer.Argument(
        parser=read_day, metavar="[DAY]", help="today, tomorrow, 2030-01-07 or 07.01.2030; else today"
    ),
]
Days = Annotated[int, typer.Option("--days", min=1, max=31, help="How many days, from DAY on")]
Listed = Annotated[
    list[str] | None, typer.Option("--resource", "-r", help="Whose day; repeat it for several")
]
Resources = Annotated[
    list[str] | None, typer.Option("--resource", "-r", help="What is wanted; repeat it for several")
]
Minutes = Annotated[int | None, typer.Option("--minutes", "-m", help="How long, where there is a grid")]
Service = Annotated[
    str | None, typer.Option("--service", help="A service of a resource: sets minutes, adds its resources")
]
HoldToken = Annotated[str | None, typer.Option("--hold", help="The token of a hold that is used up")]
IfVersion = Annotated[
    int | None, typer.Option("--if-version", min=1, help="Only if the appointment has this version")
]
Site = Annotated[str | None, typer.Option("--site", "-s", help="The branch")]
Url = Annotated[
    str, typer.Option("--url", envvar=["SLOTKEEPER_URL", "GATEWAY_URL"], help="The gateway's root")
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        parser=_read_api_key,
        envvar="SLOTKEEPER_API_KEY",
        metavar="KEY",
        show_default=False,
        help="The key of the API; better in the variable, which a list of processes does not show",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer's body as JSON")]
