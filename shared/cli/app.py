"""Define the command line: one command per operation on bookings."""

from typing import Annotated

import typer

from ..contract.version import VERSION
from .commands import Commands
from .events import events
from .reads import day, history, show, slots, watch
from .writes import amend, book, cancel, hold, move, release

HELP = """\
Book, hold, move, amend and cancel appointments, and see a resource's day.

A time without an offset is one of this machine's zone.

Exit codes: 0 done, 1 refused (taken, held, not found), 2 wrong request or key,
3 nothing was done (try again), 4 it may have been done.
"""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"slotkeeper {VERSION}")
        raise typer.Exit


def slotkeeper(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version")
    ] = False,
) -> None:
    """Accept the options that precede a command."""


app = typer.Typer(
    cls=Commands, help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
app.callback(help=HELP)(slotkeeper)
for command in (book, hold, release, cancel, move, amend, show, history, day, slots, watch, events):
    app.command()(command)
