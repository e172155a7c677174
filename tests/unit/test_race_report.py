"""The report of the concurrency proof, and its refusal of wrong arguments."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from tests.proof.race.cli import parse_options
from tests.proof.race.exchanges import Run
from tests.proof.race.options import Options
from tests.proof.race.report import Report
from tests.proof.race.verdict import judge
from tests.unit.race_stories import won_by_booking, won_by_hold

MANY = 50


def report_lines(options: Options) -> list[str]:
    """Return the report's lines on a race that a hold won, or without holds a booking."""
    story = won_by_hold() if options.holds else won_by_booking()
    run = Run("prove-unit", ("room-1",), datetime(2026, 1, 1, tzinfo=UTC), 1.0, tuple(story.values()))
    text = io.StringIO()
    Report(Console(file=text, width=120), options).finish(run, judge(run))
    return text.getvalue().splitlines()


def test_row_of_a_race_won_by_a_hold_counts_the_holders_booking() -> None:
    """If a hold won the race, no booking did: the table counts the later booking of its holder."""
    heading, row, *_ = report_lines(Options(requests=MANY, holds=True))
    assert heading.split() == ["slot", "race", "requests", "201", "held", "claimed", "409", "other", "silent"]
    assert row.split()[1:] == ["1", "4", "0", "1", "1", "3", "0", "0"]


def test_second_race_for_a_slot_has_its_own_row() -> None:
    """After a cancelled win the slot is raced for again, and each race has a row with one 201."""
    first = list(won_by_booking().values())
    second = [replace(each, request=replace(each.request, round=2)) for each in first]
    run = Run("prove-unit", ("room-1",), datetime(2026, 1, 1, tzinfo=UTC), 1.0, (*first, *second))
    text = io.StringIO()
    Report(Console(file=text, width=120), Options(requests=MANY)).finish(run, judge(run))
    rows = [line.split() for line in text.getvalue().splitlines()[1:4]]
    assert [row[1] for row in rows[:2]] == ["1", "2"]
    assert [row[3] for row in rows[:2]] == ["1", "1"]
    assert rows[2][:3] == ["all", "races", "2"]


@pytest.mark.parametrize("holds", [False, True])
@pytest.mark.parametrize("check", [False, True])
def test_last_line_names_only_the_promises_that_were_judged(holds: bool, check: bool) -> None:
    """The last line names holds and linearizability only if they were judged."""
    last = report_lines(Options(requests=MANY, holds=holds, check=check))[-1]
    assert last.startswith("PROVED: one winner per slot, ")
    assert ("every hold honoured" in last) == holds
    assert ("the history is linearizable" in last) == check


@pytest.mark.parametrize("arguments", [["--requests", "0"], ["--nonsense"], ["--via", "post"]])
def test_wrong_argument_is_refused_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the argument; the exit status is 2."""
    with pytest.raises(SystemExit) as ended:
        parse_options(arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert arguments[0] in line
