"""The lists that `slotkeeper` prints: days, taken slots, and changes that `watch` sees."""

import json

import pytest
from typer.testing import CliRunner

from deploy.local.ports import free_port
from shared.cli.app import app
from tests.integration.canned import canned
from tests.integration.cli_calls import APPOINTMENT, ID, PAGE, TAKEN, WINDOW, event, invoke

pytestmark = pytest.mark.usefixtures("in_berlin")
LONG = {
    **APPOINTMENT,
    "slot": "2031-05-04T09:00:00.123Z",
    "patientName": "Augusta Ada King, Countess of Lovelace",
    "resources": ["a-very-long-name-of-a-treatment-room", "dr-lee"],
}


@pytest.mark.parametrize("columns", ["1", "20", "40", "79", "99"])
@pytest.mark.parametrize("words", [("day", "2031-05-04"), ("show", ID), ("cancel", ID)])
def test_narrow_terminal_cuts_no_value(columns: str, words: tuple[str, ...]) -> None:
    """Below 100 columns an appointment is a block: a line for its id, its patient and its time."""
    body = {"appointment": LONG, "appointments": [LONG], "message": "Booking cancelled"}
    with canned((200, body)) as (url, _):
        result = CliRunner(env={"COLUMNS": columns}).invoke(app, [*words, "--url", url])
    values = {line.split(maxsplit=1)[-1] for line in result.stdout.splitlines() if line.startswith(" ")}
    assert {ID, LONG["patientName"], "a-very-long-name-of-a-treatment-room, dr-lee"} <= values
    assert "11:00:00.123 +02:00" in result.stdout


@pytest.mark.parametrize("columns", ["100", "101", "120", "200"])
def test_table_breaks_only_names(columns: str) -> None:
    """From 100 columns on, a long name takes several lines; a time or an id does not."""
    name = "Augusta Ada King, Countess of Lovelace " * 4
    with canned((200, {"appointments": [{**LONG, "patientName": name}]})) as (url, _):
        command = ["day", "2031-05-04", "--days", "2", "--url", url]
        result = CliRunner(env={"COLUMNS": columns}).invoke(app, command)
    (row,) = (line for line in result.stdout.splitlines() if ID in line)
    assert "2031-05-04 11:00:00.123 +02:00" in row
    assert "Augusta" in row
    assert result.stdout.count("Countess") == 4


def test_pipe_gets_whole_rows() -> None:
    """Output without a width, as a file, has one table row for an appointment, however long."""
    name = "x" * 200
    with canned((200, {"appointments": [{**LONG, "patientName": name}]})) as (url, _):
        result = CliRunner(env={"COLUMNS": None}).invoke(app, ["day", "2031-05-04", "--url", url])
    (row,) = (line for line in result.stdout.splitlines() if ID in line)
    assert name in row


def test_day_merges_several_resources() -> None:
    """`day` lists several resources in one order; a booking of two of them appears once."""
    early = {**APPOINTMENT, "id": "early", "slot": "2031-05-04T08:00:00.000Z", "resources": ["room-2"]}
    both = {**APPOINTMENT, "resources": ["dr-lee", "room-2"]}
    with canned((200, {"appointments": [both]}), (200, {"appointments": [early, both]})) as (url, received):
        found = json.loads(invoke(url, "day", "2031-05-04", "-r", "dr-lee", "-r", "room-2", "--json").stdout)
    assert found == {"appointments": [early, both]}
    assert [request.path.split("&")[0].split("=")[1] for request in received] == ["dr-lee", "room-2"]


def test_slots_name_their_resource() -> None:
    """`slots` of several resources names the resource of every taken slot."""
    pages = [(200, {**PAGE, "taken": [{**TAKEN, "resource": of}]}) for of in ("room-2", "dr-lee")]
    with canned(*pages) as (url, _):
        result = invoke(url, "slots", "2031-05-04", "-r", "room-2", "-r", "dr-lee")
    rows = [line.split()[-1] for line in result.stdout.splitlines() if "held" in line]
    assert rows == ["dr-lee", "room-2"]


def test_month_can_be_listed() -> None:
    """A window of 31 days, which has an extra hour in October, is sent unchanged."""
    with canned((200, {"appointments": []})) as (url, received):
        assert invoke(url, "day", "2031-10-01", "--days", "31").exit_code == 0
    assert received[0].path.endswith("from=2031-09-30T22%3A00%3A00.000Z&to=2031-10-31T23%3A00%3A00.000Z")


def test_empty_day_prints_no_table() -> None:
    """An empty day prints one line and no table."""
    with canned((200, {"appointments": []})) as (url, _):
        assert invoke(url, "day", "2031-05-04").stdout == "default, 2031-05-04: nothing\n"


def test_list_is_read_to_its_last_page() -> None:
    """A day of several pages is listed whole."""
    later = {**APPOINTMENT, "id": "z"}
    pages = [(200, {"appointments": [APPOINTMENT], "next": "abc"}), (200, {"appointments": [later]})]
    with canned(*pages) as (url, received):
        result = invoke(url, "day", "2031-05-04", "-r", "dr-lee", "--json")
    assert json.loads(result.stdout) == {"appointments": [APPOINTMENT, later]}
    assert [request.path for request in received][1].endswith(f"{WINDOW}&cursor=abc")


def test_watch_prints_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """`watch` prints all taken slots, then every change; it waits for a gateway that is lost meanwhile."""
    pauses = list[float]()

    def look_away(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("shared.cli.watch.sleep", look_away)
    held, booked = ({**TAKEN, "state": state} for state in ("held", "booked"))
    snapshots = [event("snapshot", {**PAGE, "taken": [each]}) for each in (held, booked)]
    free = event("changes", {"taken": [], "freed": [booked], "holds": "known"})
    with canned((200, snapshots[0]), (503, {"error": "No worker is there"}), (200, snapshots[1] + free)) as (
        url,
        received,
    ):
        result = invoke(url, "watch", "2031-05-04", "-r", "dr-lee", "--json")
    assert result.exit_code == 0
    assert [json.loads(line)["state"] for line in result.stdout.splitlines()] == ["held", "booked", "free"]
    ended = "The gateway has ended the stream; still trying\n"
    assert result.stderr == f"{ended}It answers again\n{ended}"
    assert {request.path for request in received} == {f"/api/live?{WINDOW}"}
    assert pauses == [0.01] * 3


def test_watch_prints_only_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that replaces another of its slot is a change; a snapshot that repeats what was shown is none."""

    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shared.cli.watch.sleep", stop)
    longer = {**TAKEN, "durationMinutes": 60}
    body = b"".join(
        [
            event("snapshot", {**PAGE, "taken": [TAKEN]}),
            event("changes", {"taken": [longer], "freed": [], "holds": "known"}),
            event("changes", {"taken": [], "freed": [], "holds": "unknown"}),
            b": ping\n\n",
            event("snapshot", {**PAGE, "taken": [longer]}),
        ]
    )
    with canned((200, body)) as (url, _):
        result = invoke(url, "watch", "2031-05-04", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["durationMinutes"], line["state"]) for line in lines] == [
        (45, "held"),
        (45, "free"),
        (60, "held"),
    ]
    assert result.stderr.count("Holds are not known at the moment") == 1


@pytest.mark.parametrize(("status", "code"), [(400, 2), (503, 3)])
def test_watch_that_is_refused_ends(status: int, code: int) -> None:
    """`watch` prints the refusal of its first request, and ends with its code."""
    with canned((status, {"error": "Because"})) as (url, _):
        result = invoke(url, "watch")
    assert (result.exit_code, result.stderr) == (code, "Because\n")


@pytest.mark.parametrize("answer", [b"<html>", {"taken": []}])
def test_watch_of_something_else_is_a_wrong_request(answer: object) -> None:
    """`watch` at a URL that answers something else than a stream ends with 2."""
    with canned((200, answer)) as (url, _):
        result = invoke(url, "watch")
    assert result.exit_code == 2
    assert "is not the root of a gateway" in result.stderr


def test_watch_without_a_gateway_ends() -> None:
    """`watch` ends with 3 if no gateway answers its first request."""
    assert invoke(f"http://127.0.0.1:{free_port()}", "watch").exit_code == 3
