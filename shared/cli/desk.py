"""Where a command asks and answers: it says what is done on stdout, and what is not on stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import typer
from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table

from ..contract.instants import format_instant
from ..contract.replies import Appointment, Hold
from .gateway import Answer, ExitCode, Failed, Gateway, PageT, Query
from .times import shown

BodyT = TypeVar("BodyT", bound=BaseModel)


class Desk:
    """A command's. With `as_json`, stdout gets the bodies of answers, a refusal's too, and nothing else."""

    def __init__(self, url: str, as_json: bool) -> None:
        self.gateway = Gateway(url)
        self.as_json = as_json

    def ask(
        self, method: str, path: str, model: type[BodyT], *, if_unknown: str = "", **request: Any
    ) -> Answer[BodyT]:
        """The answer; where there is none, its reason is said, and the command ends."""
        try:
            return self.gateway.ask(method, path, model, **request)
        except Failed as failed:
            raise self.end(failed, if_unknown) from None

    def ask_all(self, path: str, model: type[PageT], query: Query) -> list[Answer[PageT]]:
        """All pages of a list, at least one; where there is none, as `ask`."""
        try:
            return list(self.gateway.pages(path, model, query))
        except Failed as failed:
            raise self.end(failed) from None

    def end(self, failed: Failed, if_unknown: str = "") -> typer.Exit:
        """Say why it is not done; what is returned ends the command."""
        if self.as_json:
            self.say_json(failed.body)
        else:
            self.complain(failed.text)
        if if_unknown and failed.code is ExitCode.UNKNOWN:
            self.complain(if_unknown)
        return typer.Exit(failed.code)

    def say(self, content: RenderableType, body: Any) -> None:
        """Say it to a person, or to a program."""
        if self.as_json:
            self.say_json(body)
        else:
            _console().print(content)

    def say_json(self, body: Any) -> None:
        print(json.dumps(body, ensure_ascii=False), flush=True)

    def complain(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _console() -> Console:
    # A patient's name is no markup.
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=True)


def path_of(id: str) -> str:
    """Where an appointment is, in the gateway's API."""
    return f"appointments/{quote(id, safe='')}"


def sent(**fields: Any) -> dict[str, Any]:
    """The fields that were said, as they are on the wire."""
    said = {name: value for name, value in fields.items() if value is not None}
    return {name: format_instant(value) if name == "slot" else value for name, value in said.items()}


def sheet(title: str, of: Appointment | Hold) -> Table:
    """All of an appointment or a hold."""
    grid = Table(title=title, title_justify="left", box=None, show_header=False)
    if isinstance(of, Appointment):
        grid.add_row("id", of.id)
        grid.add_row("patient", of.patientName)
        grid.add_row("status", of.status)
    else:
        grid.add_row("token", of.token)
        grid.add_row("until", shown(of.expiresAt))
    grid.add_row("slot", shown(of.slot) + lasting(of.durationMinutes, ", {} minutes"))
    grid.add_row("resources", ", ".join(of.resources))
    grid.add_row("site", of.site)
    return grid


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> RenderableType:
    """Rows under headings; names are broken, and when a change was made. Where there are none, it says so."""
    listed = Table(*headings, title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in listed.columns:
        column.no_wrap = column.header not in {"at", "patient", "resources"}
        column.min_width = len(str(column.header))
        column.overflow = "fold"
    for row in rows:
        listed.add_row(*row)
    return listed if listed.row_count else f"{title}: nothing"


def lasting(minutes: int | None, form: str = "{}") -> str:
    """A duration, where the service has any."""
    return "" if minutes is None else form.format(minutes)
