"""Print the report: plain lines and tables, which read the same on a terminal and in a file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from tests.proof.race.addresses import shown
from tests.proof.race.clauses import Clause
from tests.proof.race.exchanges import Exchange, Run
from tests.proof.race.figures import Race, claimed, count_answers, race_of, raced, speed
from tests.proof.race.options import Options
from tests.proof.race.verdict import RaceVerdict

FEW_REQUESTS = 30
FEW_RACES = 20
_READ = {"get": "as stored", "list": "the bookings", "slots": "the taken slots"}
_NEEDS_A_WINNER = (Clause.REFUSED, Clause.READ_BACK, Clause.LATE)


class Report:
    def __init__(self, console: Console, options: Options) -> None:
        self._console = console
        self._options = options
        self._few = options.slots * options.contenders <= FEW_REQUESTS

    def begin(self, site: str, resources: Sequence[str]) -> None:
        options = self._options
        addresses = {"http": options.url, "nats": options.nats}
        where = " and ".join(shown(addresses[via]) for via in options.transports)
        what = f"{options.requests} bookings" + (f" and {options.requests} holds" if options.holds else "")
        slots = f"{options.slots} slot{'s' if options.slots > 1 else ''}"
        self._line(f"{slots} x {what} at once, against {where}, in site {site}{self._what(resources)}")
        if options.holds and options.slots > 1:
            self._line("in every second slot the bookings start as soon as a hold is granted")
        half = f"{-(-options.slots // 2)} of the slots are" if options.slots > 1 else "then the slot is"
        self._line(f"{half} cancelled and raced for again; in the end every booking is cancelled")

    @staticmethod
    def _what(resources: Sequence[str]) -> str:
        if len(resources) == 1:
            return ""
        return f", a booking wants some of {len(resources)} resources: {resources[0]} to {resources[-1]}"

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        quiet = self._few or not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=quiet) as progress:
            yield progress

    def track(self, progress: Progress) -> TaskID:
        return progress.add_task("racing", total=self._options.slots * self._options.contenders)

    def rows(self, text: str) -> None:
        """Print what happened to the rows in MongoDB."""
        self._line(text)

    def finish(self, run: Run, verdict: RaceVerdict) -> None:
        if self._few:
            self._requests(run.exchanges)
        else:
            self._slots(run)
        self._clauses(run, verdict)
        figures = speed(run)
        self._line(
            f"{figures.requests_per_second:.0f} requests/s, latency p50 {figures.p50_ms:.0f} ms, "
            f"p95 {figures.p95_ms:.0f} ms, max {figures.max_ms:.0f} ms (for information)"
        )
        for finding in verdict.violations:
            self._line(f"VIOLATION {finding.clause}: {finding}", "red")
        if verdict.proved:
            self._line(f"PROVED: {', '.join(self._proved(run))}", "bold green")
        else:
            broken = len(verdict.violations)
            self._line(f"NOT PROVED: {broken} violation{'s' if broken > 1 else ''}", "bold red")

    def _proved(self, run: Run) -> Iterator[str]:
        yield "one winner per slot" if len(run.resources) == 1 else Clause.ONE_OWNER
        yield "every other request refused"
        if self._options.holds:
            yield Clause.HOLDS
        yield Clause.ANSWERED
        if self._options.check:
            yield Clause.LINEARIZABLE

    def _requests(self, exchanges: Sequence[Exchange]) -> None:
        answered = sorted(exchanges, key=lambda exchange: exchange.returned)
        lines = [self._describe(exchange) for exchange in answered]
        width = max(map(len, lines))
        for line, exchange in zip(lines, answered, strict=True):
            reply = exchange.reply
            style = "green" if reply.outcome == "ok" else "" if reply.answered else "red"
            self._line(f"{line:<{width}}  {exchange.milliseconds:>7.1f} ms", style)

    def _describe(self, exchange: Exchange) -> str:
        request, reply = exchange.request, exchange.reply
        slot = f"{request.slot}  " if self._options.slots > 1 else ""
        kind = f"{request.kind:<6}" if self._options.holds else ""
        read = request.kind in ("get", "list", "slots") and reply.status == 200
        text = _READ[request.kind] if read else reply.text
        step = "" if request.step in ("race", "read", "find", "free") else f" ({request.step})"
        step += f" (race {request.round})" if request.round > 1 and request.step == "race" else ""
        who = request.patient or ("read back" if read else request.kind)
        return (
            f"{request.ordinal:>3}  {slot}{request.via}  {kind}{who:<12}{reply.status or '---'}  {text}{step}"
        )

    def _slots(self, run: Run) -> None:
        races = sorted({race_of(exchange) for exchange in run.exchanges})
        rows = races if len(races) <= FEW_RACES else []
        table = Table("slot", box=None, pad_edge=False, header_style="bold")
        for heading in (
            "race",
            "requests",
            "201",
            *(["held", "claimed"] if self._options.holds else []),
            "409",
            "other",
            "silent",
        ):
            table.add_column(heading, justify="right")
        for slot, round in rows:
            table.add_row(slot, str(round), *self._cells(run, (slot, round)))
        if len(races) > 1:
            table.add_row("all races", str(len(races)), *self._cells(run), style="bold")
        self._console.print(table)
        if self._options.holds:
            self._line("claimed: booked after the race by the holder")

    def _cells(self, run: Run, race: Race | None = None) -> list[str]:
        row = count_answers(raced(run, race))
        held = [row.granted, claimed(run, race)] if self._options.holds else []
        refused = row.already_booked + row.currently_held
        return [
            str(cell) for cell in (row.requests, row.confirmed, *held, refused, row.other, row.unanswered)
        ]

    def _clauses(self, run: Run, verdict: RaceVerdict) -> None:
        slots = {exchange.request.slot for exchange in run.exchanges}
        won = {exchange.request.slot for exchange in run.exchanges if exchange.confirmed}
        for clause in Clause:
            if clause is (Clause.ONE_OWNER if len(run.resources) == 1 else Clause.ONE_WINNER):
                continue
            if clause is Clause.HOLDS and not self._options.holds:
                continue
            if clause is Clause.LINEARIZABLE and not self._options.check:
                continue
            broken = {finding.slot for finding in verdict.violations if finding.clause is clause}
            # A slot without a winner does not test the clauses about a winner.
            shown_in = (won if clause in _NEEDS_A_WINNER else slots) - broken
            state, style = ("no", "red") if broken else ("ok", "green")
            if not broken and shown_in < slots:
                state, style = "--", "yellow"
            self._line(f"{state:>6}  {clause:<48}{len(shown_in):>5} of {len(slots)} slots", style)

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True)
