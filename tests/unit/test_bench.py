"""The benchmark tells what was measured: it counts wrong answers, and compares like with like."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.local.errors import StackError
from shared.contract.commands import CancelAppointment, ListSlots, MoveAppointment
from shared.contract.parsing import parse_command
from shared.domain.booking import Booking
from tests.bench import changes, flood, reads, stored, tools
from tests.bench import nats_load as straight
from tests.bench.charts import draw
from tests.bench.cli import parse_options
from tests.bench.cpu import cpu_seconds, peak_mb
from tests.bench.load_result import Heard
from tests.bench.report import booking, yardstick
from tests.bench.results import Measurement, Summary, Where, summarise, write_json
from tests.bench.stored import rows


def measured(
    scenario: str, side: str, x: int, round_: int = 0, *, rate: float = 100, done: int = 100
) -> Measurement:
    heard = Heard(seconds=done / rate, statuses={201: done}, p50=1, p99=2)
    return Measurement.of(Where(scenario, side, x, round_), heard, {"mongod": 0.01}, {"mongod": 90.0})


def test_a_refusal_counts_only_where_it_is_what_was_asked_for() -> None:
    """409 is an answer where all want one slot, and a wrong one where nobody else wants it."""
    statuses = {201: 10, 409: 990, 503: 3}
    storm = Heard(seconds=1, statuses=statuses, p50=1, p99=2, broken=2, as_good=frozenset({409}))
    assert (storm.done, storm.wrong) == (1000, 5)
    book = Heard(seconds=1, statuses=statuses, p50=1, p99=2, broken=2)
    assert (book.done, book.wrong) == (10, 995)


def test_what_is_turned_away_under_overload_is_neither_done_nor_wrong() -> None:
    """Goodput counts what was confirmed; a refusal for overload is right."""
    flood = Heard(seconds=1, statuses={201: 10, 503: 90, 504: 1}, p50=1, p99=2, to_expect=frozenset({503}))
    assert (flood.done, flood.wrong) == (10, 1)


def test_rounds_become_a_median_and_their_spread() -> None:
    """One round that was disturbed changes the spread, and not the figure."""
    rounds = [measured("book", "ours", 64, number, rate=rate) for number, rate in enumerate((90, 100, 20))]
    (summary,) = summarise(rounds)
    assert [summary.lowest, summary.rate, summary.highest] == pytest.approx([20, 90, 100])
    assert summary.spread == pytest.approx(0.44, abs=0.01)
    assert summary.cpu == {"mongod": pytest.approx(100)}  # 10 ms for a hundred requests


def test_a_rate_is_compared_with_the_monolith_in_the_same_place() -> None:
    """Over 256 connections ours is set beside Express over 256; straight over NATS, beside its bookings."""
    express = [measured("book", "express", 64), measured("connections", "express", 256)]
    ours = [measured("connections", "ours", 256), measured("connections", "ours", 64)]
    summaries = summarise([*express, *ours, measured("nats", "ours", 256), measured("book", "fastapi", 64)])
    beside = {
        (each.scenario, each.x): yardstick(each, summaries) for each in summaries if each.side == "ours"
    }
    named = {place: (each.scenario, each.side, each.x) for place, each in beside.items() if each}
    assert named == {
        ("connections", 256): ("connections", "express", 256),
        ("nats", 256): ("book", "express", 64),
    }


def test_a_change_is_compared_with_bookings_by_the_same_way() -> None:
    """Cancels over HTTP are set beside bookings over HTTP, and many in a message beside many."""
    taken: Sequence[Measurement] = [
        *(measured(name, "ours", 64) for name in ("book", "cancel", "nats many", "move many", "hold")),
        measured("book", "express", 64),
    ]
    summaries = summarise(taken)
    beside = {each.scenario: booking(each, summaries) for each in summaries if each.side == "ours"}
    named = {scenario: (each.scenario, each.side) for scenario, each in beside.items() if each}
    ours = "ours"
    assert named == {
        "cancel": ("book", ours),
        "nats many": ("book", ours),
        "move many": ("nats many", ours),
    }


def test_stored_appointments_are_those_that_workers_write() -> None:
    """Rows that are put straight into MongoDB read as bookings, each of a claim and a key of its own."""
    first, step = datetime(2001, 1, 1, tzinfo=UTC), timedelta(minutes=15)
    bookings = [Booking.from_document(row) for row in islice(rows(first, step, ("a", "b")), 1000)]
    for own in ("id", "key", "claims"):
        assert len({getattr(booking, own) for booking in bookings}) == 1000
    assert bookings[-1].slot == first + 499 * step
    for each in bookings:
        assert each.claims.keys == (f"{each.resources[0]}/{round(each.slot.timestamp() * 1000)}",)
        assert [(entry.position.slot, entry.position.resources) for entry in each.history] == [
            (each.slot, each.resources)
        ]


def test_each_change_is_of_another_booking() -> None:
    """No booking is cancelled or moved twice: once none is left, what is sent is nobody's, which is told."""
    cancel = changes.commands(changes.CANCEL, ["a", "b"])
    cancels = [parse_command(CancelAppointment, cancel(number)) for number in range(3)]
    assert [each.id for each in cancels] == ["a", "b", "none-left"]
    move = changes.commands(changes.MOVE, ["a", "b"])
    moves = [parse_command(MoveAppointment, move(number)) for number in range(3)]
    assert [each.id for each in moves] == ["a", "b", "none-left"]
    assert len({each.slot for each in moves}) == 3


def test_days_that_are_read_have_appointments() -> None:
    """Among a million, every day that is asked for lies where they are stored, whole."""
    last = list(islice(rows(stored.FIRST, stored.STEP, stored.DOCTORS), 20_000))[-1]["slot"]
    lines = reads.some_days(20_000)
    assert len(set(lines)) > 100
    for line in lines:
        query = dict(pair.split("=") for pair in line.removeprefix("?").split("&"))
        window = ListSlots.model_validate(query)
        assert set(window.resource or ()) <= set(stored.DOCTORS)
        assert stored.FIRST <= window.from_ < window.to <= last + stored.STEP


async def test_a_flood_is_never_too_busy_to_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    """However far it is behind its rate, it sends some at a time: else what came in time is heard late."""
    written: list[int] = []

    def write(data: bytes) -> None:
        written.append(data.count(b"HPUB "))
        for number in range(sum(written[:-1]), sum(written)):
            load._hear(number, b'{"status":201,"body":{}}')

    writer = SimpleNamespace(write=write)
    load = flood.Flood(None, writer, "booking.v1.book", 1.6, 0)  # type: ignore[arg-type]
    answers = await load.send_at(10_000_000, 0.05, straight.bookings())
    assert max(written) == flood.MOST_AT_ONCE
    assert answers.in_time + answers.late == answers.sent == sum(written)


def test_what_is_done_late_is_broken_and_not_done() -> None:
    """An answer after the deadline was heard by nobody, whatever it says."""
    load = flood.Flood(None, SimpleNamespace(write=len), "x", -1, 0)  # type: ignore[arg-type]
    load._send(2, straight.bookings())
    load._hear(0, b'{"status":200,"body":{}}')
    load._hear(1, b'{"status":503,"body":{}}')
    heard = straight._heard(load._answers, 1)
    assert (heard.done, heard.broken, heard.statuses) == (0, 1, {503: 1})


def test_cpu_and_memory_are_read_of_a_process() -> None:
    """What this process has used and taken can be read, and is not nothing."""
    assert cpu_seconds(os.getpid()) > 0
    assert peak_mb(os.getpid()) > 1


def test_the_monolith_is_pinned() -> None:
    """The Express monolith is the same one wherever it is measured: its packages have exact versions."""
    packages = json.loads((tools.EXPRESS / "package.json").read_text())["dependencies"]
    assert packages.keys() == {"express", "ioredis", "mongoose"}
    assert all(version.replace(".", "").isdecimal() for version in packages.values())


@pytest.mark.parametrize(("program", "packages"), [("wrk", "wrk"), ("node", "nodejs npm")])
def test_a_missing_program_is_named_with_the_way_to_get_it(
    program: str, packages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where wrk or node is missing, one sentence says so and how to install it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match=f"{program} is not on PATH.* apt-get install {packages}$"):
        tools.find(program)


@pytest.mark.parametrize("words", ["--only book,sleep", "--rounds 0", "--over-stored -1", "--against tests"])
def test_wrong_arguments_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A scenario that there is not, no round, a folder that is no checkout: told, and nothing is started."""
    with pytest.raises(SystemExit, match="2"):
        parse_options(words.split())
    assert words.split(maxsplit=1)[0] in capsys.readouterr().err


def test_a_quick_run_measures_everything_in_one_round() -> None:
    """`--quick` leaves out no scenario; what is given beside it is kept."""
    full, quick = parse_options([]), parse_options(["--quick", "--seconds", "2"])
    assert quick.only == full.only
    assert (full.rounds, quick.rounds, quick.seconds) == (5, 1, 2)


def test_everything_measured_is_written_and_drawn(tmp_path: Path) -> None:
    """A picture for each thing that was measured, none left of an earlier run, and all rounds as JSON."""
    (tmp_path / "bench-workers.png").touch()
    taken = [
        *(measured(scenario, side, 64) for side in ("ours", "express") for scenario in ("book", "hold")),
        *(measured("connections", side, x) for side in ("ours", "fastapi") for x in (1, 64)),
        *(measured("stored", "ours", x) for x in (0, 1000)),
        *(measured("overload", "ours", x) for x in (1, 10)),
        *(measured("overload over NATS", "ours", x) for x in (1, 10)),
    ]
    drawn = {path.name for path in draw(summarise(taken), tmp_path)}
    assert drawn == {f"bench-{name}.png" for name in ("rates", "cpu", "connections", "stored", "overload")}
    assert {path.name for path in tmp_path.glob("*.png")} == drawn
    write_json(taken, {"rounds": 1}, tmp_path / "bench.json")
    told = json.loads((tmp_path / "bench.json").read_text())
    assert len(told["measurements"]) == len(taken)
    assert {"scenario", "side", "x", "round", "statuses"} <= told["measurements"][0].keys()
    assert [Summary(**each) for each in told["summaries"]] == summarise(taken)
