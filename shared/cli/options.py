"""What commands take: each argument and option once."""

from datetime import date, datetime
from typing import Annotated

import typer

from .times import read_day, read_slot

LOCAL = "http://127.0.0.1:3000"

Slot = Annotated[datetime, typer.Argument(parser=read_slot, metavar="SLOT", help="'2030-01-07 09:00'")]
NewSlot = Annotated[
    datetime | None, typer.Argument(parser=read_slot, metavar="[SLOT]", help="Where to, if elsewhere")
]
Patient = Annotated[str, typer.Argument(help="The patient's name")]
Id = Annotated[str, typer.Argument(help="The appointment's id")]
Day = Annotated[
    date | None,
    typer.Argument(parser=read_day, metavar="[DAY]", help="today, tomorrow, or 2030-01-07; else today"),
]
Days = Annotated[int, typer.Option("--days", min=1, max=30, help="How many days, from DAY on")]
ListedResources = Annotated[
    list[str] | None, typer.Option("--resource", "-r", help="Whose day; repeat it for several; else all")
]
Resources = Annotated[
    list[str] | None, typer.Option("--resource", "-r", help="What is wanted; repeat it for several")
]
Minutes = Annotated[int | None, typer.Option("--minutes", "-m", help="How long, where there is a grid")]
HoldToken = Annotated[str | None, typer.Option("--hold", help="The token of a hold that is used up")]
Site = Annotated[str | None, typer.Option("--site", "-s", help="The branch")]
Url = Annotated[str, typer.Option("--url", envvar="SLOTKEEPER_URL", help="The gateway's")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer's body as JSON")]
