"""What one can type: a command for each thing one does with bookings."""

import typer

from .reads import day, history, show, slots, watch
from .writes import book, cancel, hold, move, release

HELP = """\
Book, hold, move and cancel appointments, and see a resource's day.

A time without an offset is one of this machine's zone.

Exit codes: 0 done, 1 refused (taken, held, not found), 2 wrong request, 3 nothing was done (try again),
4 it may have been done.
"""

app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (book, hold, release, cancel, move, show, history, day, slots, watch):
    app.command()(command)
