"""The benchmark counts wrong answers, and compares equal loads."""

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
from tests.bench import changes, flood, nats_load, reads, stored, tools
from tests.bench.charts import draw
from tests.bench.cli import parse_options
from tests.bench.cpu import cpu_seconds, peak_mb
from tests.bench.load_result import LoadResult
from tests.bench.report import booking_baseline, monolith_baseline
from tests.bench.results import Measurement, Point, Summary, summarise, write_json
from tests.bench.stored import rows


def measured(
    scenario: str, side: str, x: int, round_: int = 0, *, rate: float = 100, done: int = 100
) -> Measurement:
    result = LoadResult(seconds=done / rate, statuses={201: done}, p50=1, p99=2)
    return Measurement.of(Point(scenario, side, x, round_), result, {"mongod": 0.01}, {"mongod": 90.0})


def test_409_is_wrong_except_in_a_storm() -> None:
    """409 is a right answer if all callers want one slot, and a wrong one if every request has its own."""
    statuses = {201: 10, 409: 990, 503: 3}
    storm = LoadResult(seconds=1, statuses=statuses, p50=1, p99=2, broken=2, also_done=frozenset({409}))
    assert (storm.done, storm.wrong) == (1000, 5)
    book = LoadResult(seconds=1, statuses=statuses, p50=1, p99=2, broken=2)
    assert (book.done, book.wrong) == (10, 995)


def test_503_under_overload_is_neither_done_nor_wrong() -> None:
    """Goodput counts confirmed bookings; a refusal for overload is right."""
    flood = LoadResult(
        seconds=1, statuses={201: 10, 503: 90, 504: 1}, p50=1, p99=2, tolerated=frozenset({503})
    )
    assert (flood.done, flood.wrong) == (10, 1)


def test_rounds_become_a_median_and_their_spread() -> None:
    """One disturbed round changes the spread, and not the median."""
    rounds = [measured("book", "ours", 64, number, rate=rate) for number, rate in enumerate((90, 100, 20))]
    (summary,) = summarise(rounds)
    assert [summary.lowest, summary.rate, summary.highest] == pytest.approx([20, 90, 100])
    assert summary.spread == pytest.approx(0.44, abs=0.01)
    assert summary.cpu == {"mongod": pytest.approx(100)}  # 10 ms for a hundred requests


def test_rate_is_compared_with_the_monolith_under_the_same_load() -> None:
    """256 connections are compared with Express at 256, and NATS with Express's bookings."""
    express = [measured("book", "express", 64), measured("connections", "express", 256)]
    ours = [measured("connections", "ours", 256), measured("connections", "ours", 64)]
    summaries = summarise([*express, *ours, measured("nats", "ours", 256), measured("book", "fastapi", 64)])
    beside = {
        (each.scenario, each.x): monolith_baseline(each, summaries)
        for each in summaries
        if each.side == "ours"
    }
    named = {place: (each.scenario, each.side, each.x) for place, each in beside.items() if each}
    assert named == {
        ("connections", 256): ("connections", "express", 256),
        ("nats", 256): ("book", "express", 64),
    }


def test_change_is_compared_with_bookings_over_the_same_transport() -> None:
    """Cancels over HTTP are compared with bookings over HTTP, and batches with batches."""
    taken: Sequence[Measurement] = [
        *(measured(name, "ours", 64) for name in ("book", "cancel", "nats many", "move many", "hold")),
        measured("book", "express", 64),
    ]
    summaries = summarise(taken)
    beside = {each.scenario: booking_baseline(each, summaries) for each in summaries if each.side == "ours"}
    named = {scenario: (each.scenario, each.side) for scenario, each in beside.items() if each}
    ours = "ours"
    assert named == {
        "cancel": ("book", ours),
        "nats many": ("book", ours),
        "move many": ("nats many", ours),
    }


def test_stored_appointments_equal_those_of_workers() -> None:
    """Rows inserted by the benchmark are valid bookings, and each has its own claim and key."""
    first, step = datetime(2001, 1, 1, tzinfo=UTC), timedelta(minutes=15)
    bookings = [Booking.from_document(row) for row in islice(rows(first, step, ("a", "b")), 1000)]
    for own in ("id", "key", "claims"):
        assert len({getattr(booking_baseline, own) for booking_baseline in bookings}) == 1000
    assert bookings[-1].slot == first + 499 * step
    for each in bookings:
        assert each.claims.keys == (f"{each.resources[0]}/{round(each.slot.timestamp() * 1000)}",)
        assert [(entry.position.slot, entry.position.resources) for entry in each.history] == [
            (each.slot, each.resources)
        ]


def test_booking_is_changed_once() -> None:
    """No booking is cancelled or moved twice; after the last one, the id `none-left` causes a 404."""
    cancel = changes.commands(changes.CANCEL, ["a", "b"])
    cancels = [parse_command(CancelAppointment, cancel(number)) for number in range(3)]
    assert [each.id for each in cancels] == ["a", "b", "none-left"]
    move = changes.commands(changes.MOVE, ["a", "b"])
    moves = [parse_command(MoveAppointment, move(number)) for number in range(3)]
    assert [each.id for each in moves] == ["a", "b", "none-left"]
    assert len({each.slot for each in moves}) == 3


def test_days_of_the_reads_have_appointments() -> None:
    """Every requested day lies entirely within the stored appointments."""
    last = list(islice(rows(stored.FIRST, stored.STEP, stored.DOCTORS), 20_000))[-1]["slot"]
    lines = reads.some_days(20_000)
    assert len(set(lines)) > 100
    for line in lines:
        query = dict(pair.split("=") for pair in line.removeprefix("?").split("&"))
        window = ListSlots.model_validate(query)
        assert set(window.resource or ()) <= set(stored.DOCTORS)
        assert stored.FIRST <= window.from_ < window.to <= last + stored.STEP


async def test_flood_sends_few_commands_between_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Far behind its rate, a flood still sends few at a time, so that it reads timely replies in time."""
    written: list[int] = []

    def write(data: bytes) -> None:
        written.append(data.count(b"HPUB "))
        for number in range(sum(written[:-1]), sum(written)):
            load._receive(number, b'{"status":201,"body":{}}')

    writer = SimpleNamespace(write=write)
    load = flood.Flood(None, writer, "booking.v1.book", 1.6, 0)  # type: ignore[arg-type]
    answers = await load.send_at(10_000_000, 0.05, nats_load.bookings())
    assert max(written) == flood.MOST_AT_ONCE
    assert answers.in_time + answers.late == answers.sent == sum(written)


def test_answer_after_the_deadline_is_broken_and_not_done() -> None:
    """The caller has given up before such an answer arrives."""
    load = flood.Flood(None, SimpleNamespace(write=len), "x", -1, 0)  # type: ignore[arg-type]
    load._send(2, nats_load.bookings())
    load._receive(0, b'{"status":200,"body":{}}')
    load._receive(1, b'{"status":503,"body":{}}')
    result = nats_load._result(load._answers, 1)
    assert (result.done, result.broken, result.statuses) == (0, 1, {503: 1})


def test_cpu_and_memory_of_a_process_are_read() -> None:
    """The figures of this process can be read, and are not zero."""
    assert cpu_seconds(os.getpid()) > 0
    assert peak_mb(os.getpid()) > 1


def test_monolith_is_pinned() -> None:
    """The Express monolith has exact package versions, so every run measures the same one."""
    packages = json.loads((tools.EXPRESS / "package.json").read_text())["dependencies"]
    assert packages.keys() == {"express", "ioredis", "mongoose"}
    assert all(version.replace(".", "").isdecimal() for version in packages.values())


@pytest.mark.parametrize(("program", "packages"), [("wrk", "wrk"), ("node", "nodejs npm")])
def test_missing_program_is_reported_with_its_installation(
    program: str, packages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without wrk or node, one sentence names the program and how to install it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match=f"{program} is not on PATH.* apt-get install {packages}$"):
        tools.find_program(program)


@pytest.mark.parametrize("words", ["--only book,sleep", "--rounds 0", "--over-stored -1", "--against tests"])
def test_wrong_arguments_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown scenario, no rounds or a folder without a checkout is refused, and nothing starts."""
    with pytest.raises(SystemExit, match="2"):
        parse_options(words.split())
    assert words.split(maxsplit=1)[0] in capsys.readouterr().err


def test_quick_run_measures_everything_in_one_round() -> None:
    """`--quick` leaves out no scenario, and explicit options override it."""
    full, quick = parse_options([]), parse_options(["--quick", "--seconds", "2"])
    assert quick.only == full.only
    assert (full.rounds, quick.rounds, quick.seconds) == (5, 1, 2)


def test_measurements_are_written_and_drawn(tmp_path: Path) -> None:
    """Every measurement gets a chart, old charts are removed, and the JSON has all rounds."""
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
    written = json.loads((tmp_path / "bench.json").read_text())
    assert len(written["measurements"]) == len(taken)
    assert {"scenario", "side", "x", "round", "statuses"} <= written["measurements"][0].keys()
    assert [Summary(**each) for each in written["summaries"]] == summarise(taken)
