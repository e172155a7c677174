"""Print the answers of the gateway: results on stdout, errors on stderr."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import typer
from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ..contract.errors import AppointmentCancelled
from ..contract.instants import format_instant
from ..contract.replies import Appointment, Hold, SlotsFound
from .gateway import Answer, ExitCode, Failed, Gateway, PageT, Query
from .times import format_time

# The widest row fits: id, time with its offset, and columns that can be wrapped.
NARROWEST_TABLE = 100
UNBOUNDED = 10_000
UNKNOWN_HOLDS = "Holds are not known at the moment: a slot that is not shown may be held"
NOT_SHOWN = "(not shown)"
INTERRUPTED = "Interrupted before the gateway answered: it may have been done"

BodyT = TypeVar("BodyT", bound=BaseModel)
Row = Sequence[str]


class Output:
    """The output of one command, and its requests.

    With `as_json`, stdout gets only the bodies of answers, including refusals.
    """

    def __init__(self, url: str, as_json: bool, api_key: str | None = None) -> None:
        self.gateway = Gateway(url, api_key)
        self.as_json = as_json

    def request(
        self,
        method: str,
        path: str,
        model: type[BodyT],
        *,
        if_unknown: str = "",
        if_cancelled: str = "",
        **options: Any,
    ) -> Answer[BodyT]:
        """Return the answer to a request; if it failed, print the reason and end the command.

        `if_unknown` explains how to learn the outcome, also of a change that Ctrl-C interrupts.
        """
        try:
            return self.gateway.request(method, path, model, **options)
        except Failed as failed:
            if if_cancelled and failed.body["type"] == AppointmentCancelled.__name__:
                failed.text = if_cancelled
            raise self.end(failed, if_unknown) from None
        except KeyboardInterrupt:
            if method == "GET":
                raise
            raise self.end(Failed(ExitCode.UNKNOWN, INTERRUPTED), if_unknown) from None

    def request_pages(self, path: str, model: type[PageT], query: Query) -> list[Answer[PageT]]:
        """Return all pages of a list, at least one; a failure ends the command, as in `request`."""
        try:
            return list(self.gateway.pages(path, model, query))
        except Failed as failed:
            raise self.end(failed) from None

    def end(self, failed: Failed, if_unknown: str = "") -> typer.Exit:
        """Print why the command was not done, and return the exception that ends it."""
        if self.as_json:
            print_json(failed.body)
        else:
            self.print_error(failed.text)
        if if_unknown and failed.code is ExitCode.UNKNOWN:
            self.print_error(if_unknown)
        return typer.Exit(failed.code)

    def print(self, content: str, body: Any) -> None:
        """Print the content for a person, or the body for a program."""
        if self.as_json:
            print_json(body)
        else:
            print(content, flush=True)

    def print_list(self, title: str, headings: Row, rows: Iterable[Row], body: Any) -> None:
        """Print rows under headings, as a table or, on a narrow terminal, as one block per row."""
        listed = list(rows)
        if self.as_json or not listed:
            self.print(f"{title}: nothing", body)
        elif (console := _console()).width < NARROWEST_TABLE:
            blocks = (aligned_lines("", list(zip(headings, row, strict=True))) for row in listed)
            self.print("\n\n".join([title, *blocks]), body)
        else:
            console.print(_table(title, headings, listed))

    def warn_of_holds(self, pages: Iterable[Answer[SlotsFound]]) -> None:
        """Print on stderr if the service cannot read the holds at the moment."""
        if any(page.body.holds == "unknown" for page in pages):
            self.print_error(UNKNOWN_HOLDS)

    def print_error(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def print_json(body: Any) -> None:
    """Print a line of JSON in ASCII, which every encoding contains."""
    print(json.dumps(body), flush=True)


def _console() -> Console:
    # A patient's name must not be read as markup. A file or a pipe has no width, unless COLUMNS sets one.
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console.width = UNBOUNDED
    return console


def path_of(id: str) -> str:
    """Return the path of an appointment in the gateway's API."""
    return f"appointments/{quote(id, safe='').replace('.', '%2E')}"


def wire_fields(**fields: Any) -> dict[str, Any]:
    """Return the fields that were given, as they are on the wire."""
    given = {name: value for name, value in fields.items() if value is not None}
    return {name: format_instant(value) if name == "slot" else value for name, value in given.items()}


def details(title: str, of: Appointment | Hold) -> str:
    """Describe an appointment or a hold completely."""
    own = (
        [
            ("id", of.id),
            ("patient", of.patientName or NOT_SHOWN),
            ("contact", of.contact or ""),
            ("attendance", of.attendance or ""),
            ("status", of.status),
            ("version", str(of.version)),
        ]
        if isinstance(of, Appointment)
        else [("token", of.token), ("until", format_time(of.expiresAt))]
    )
    place = [
        ("slot", format_time(of.slot) + format_minutes(of.durationMinutes, ", {} minutes")),
        ("service", (of.service or "") + _format_buffers(of)),
        ("resources", ", ".join(of.resources)),
        ("site", of.site),
    ]
    return aligned_lines(title, own + place)


def aligned_lines(title: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Format lines of a name and a value, at any terminal width: no value is cut or wrapped."""
    longest = max(len(name) for name, _ in pairs)
    lines = [f" {name:<{longest}}  {value}" for name, value in pairs if value]
    return "\n".join([title, *lines] if title else lines)


def _table(title: str, headings: Row, rows: Iterable[Row]) -> Table:
    listed = Table(*headings, title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in listed.columns:
        column.no_wrap = column.header not in {"patient", "resource", "resources"}
        column.min_width = len(str(column.header))
        column.overflow = "fold"
    for row in rows:
        listed.add_row(*row)
    return listed


def _format_buffers(of: Appointment | Hold) -> str:
    buffers = [(of.bufferBefore, "before"), (of.bufferAfter, "after")]
    return "".join(f", {minutes} minutes {where}" for minutes, where in buffers if minutes)


def format_minutes(minutes: int | None, form: str = "{}") -> str:
    """Format a duration; '' on a grid without durations."""
    return "" if minutes is None else form.format(minutes)
