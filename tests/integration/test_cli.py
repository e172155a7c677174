"""The command `slotkeeper`: what it asks a gateway, what it says, and how it ends."""

import json
from typing import Any
from unittest.mock import ANY

import pytest
from typer.testing import CliRunner, Result

from deploy.local.ports import free_port
from shared.cli.app import app
from tests.integration.canned import Met, canned

ID = "0b5f2a53-6f0e-4d1c-9a53-0c9f1f3a2c11"
TOKEN = "6f1c1a52-9d5e-4b7e-8a43-0c6b3a8c7d10"
NINE = "2031-05-04T09:00:00.000Z"
WINDOW = "resource=dr-lee&from=2031-05-03T22%3A00%3A00.000Z&to=2031-05-04T22%3A00%3A00.000Z"
APPOINTMENT = {
    "id": ID,
    "site": "default",
    "resources": ["dr-lee"],
    "slot": NINE,
    "durationMinutes": 45,
    "patientName": "Ada [red] :cat:",
    "status": "booked",
    "version": 1,
    "createdAt": NINE,
}
HOLD = {"token": TOKEN, "site": "default", "resources": ["dr-lee"], "slot": NINE, "expiresAt": NINE}
BOOKED = {"message": "Booking confirmed", "appointment": APPOINTMENT}
TAKEN = {"resource": "dr-lee", "slot": NINE, "durationMinutes": 45, "state": "held"}
PAGE = {"site": "default", "from": NINE, "to": NINE, "holds": "known"}


pytestmark = pytest.mark.usefixtures("in_berlin")


def type_in(url: str, *words: str) -> Result:
    """What becomes of a command that one types."""
    result = CliRunner(env={"SLOTKEEPER_URL": url, "COLUMNS": "100"}).invoke(app, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


CALLS: list[tuple[tuple[str, ...], Any, Met, tuple[str, ...]]] = [
    (
        (
            "book",
            "2031-05-04 11:00",
            "Ada",
            *["-r", "dr-lee", "-r", "room-2", "-m", "45", "-s", "harbour", "--hold"],
            TOKEN,
        ),
        BOOKED,
        Met(
            "POST",
            "/api/book-appointment",
            {
                "slot": NINE,
                "patientName": "Ada",
                "resources": ["dr-lee", "room-2"],
                "durationMinutes": 45,
                "holdToken": TOKEN,
                "site": "harbour",
            },
        ),
        ("Booking confirmed", ID, "Ada [red] :cat:", "2031-05-04 11:00 +02:00, 45 minutes", "dr-lee"),
    ),
    (
        ("hold", "2031-05-04T09:00Z", "Ada", "--token", TOKEN),
        {"message": "Slot held for 5 minutes", "hold": HOLD},
        Met("POST", "/api/hold-appointment", {"slot": NINE, "patientName": "Ada", "holdToken": TOKEN}),
        ("Slot held for 5 minutes", TOKEN, "2031-05-04 11:00 +02:00"),
    ),
    (
        ("release", TOKEN, "--slot", "2031-05-04 11:00"),
        {"message": "Hold released"},
        Met("POST", "/api/release-hold", {"slot": NINE, "holdToken": TOKEN}),
        ("Hold released",),
    ),
    (
        ("cancel", ID),
        {"message": "Booking cancelled", "appointment": {**APPOINTMENT, "status": "cancelled"}},
        Met("DELETE", f"/api/appointments/{ID}"),
        ("Booking cancelled", "cancelled"),
    ),
    (
        ("move", ID, "2031-05-04 11:00", "-r", "dr-wu"),
        {"message": "Booking moved", "appointment": APPOINTMENT},
        Met("PATCH", f"/api/appointments/{ID}", {"slot": NINE, "resources": ["dr-wu"]}),
        ("Booking moved", ID),
    ),
    (
        ("move", ID, "-m", "30"),
        {"message": "Booking moved", "appointment": APPOINTMENT},
        Met("PATCH", f"/api/appointments/{ID}", {"durationMinutes": 30}),
        ("Booking moved",),
    ),
    (
        ("show", "a/b?c"),
        {"appointment": APPOINTMENT},
        Met("GET", "/api/appointments/a%2Fb%3Fc"),
        ("Ada [red] :cat:", "booked"),
    ),
    (
        ("history", ID),
        {"history": [{"version": 1, "type": "booked", "at": NINE, "slot": NINE, "resources": ["dr-lee"]}]},
        Met("GET", f"/api/appointments/{ID}/history"),
        ("booked", "2031-05-04 11:00 +02:00", "dr-lee"),
    ),
    (
        ("day", "2031-05-04", "-r", "dr-lee"),
        {"appointments": [APPOINTMENT]},
        Met("GET", f"/api/appointments?{WINDOW}"),
        ("dr-lee, 2031-05-04", "Ada [red] :cat:", ID, "  11:00 +02:00", "45"),
    ),
    (
        ("slots", "2031-05-04", "-r", "dr-lee", "-s", "harbour"),
        {**PAGE, "taken": [TAKEN]},
        Met("GET", f"/api/slots?site=harbour&{WINDOW}"),
        ("dr-lee, 2031-05-04", "held", "  11:00 +02:00", "45"),
    ),
]


@pytest.mark.parametrize(("words", "answer", "asked", "said"), CALLS, ids=[words[0] for words, *_ in CALLS])
def test_each_command_asks_and_says(
    words: tuple[str, ...], answer: Any, asked: Met, said: tuple[str, ...]
) -> None:
    """It sends what was typed, and says what came of it to a person, or to a program as it came."""
    with canned((200, answer), (200, answer)) as (url, met):
        to_a_person = type_in(url, *words)
        to_a_program = type_in(url, *words, "--json")
    assert met == [asked, asked]
    assert to_a_person.exit_code == to_a_program.exit_code == 0
    assert all(text in to_a_person.stdout for text in said), to_a_person.stdout
    assert json.loads(to_a_program.stdout) == answer
    assert not to_a_person.stderr + to_a_program.stderr


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, 1), (409, 1), (412, 1), (422, 1), (400, 2), (413, 2), (415, 2), (503, 3), (504, 4), (500, 4)],
)
def test_an_exit_code_tells_scripts_why(status: int, code: int) -> None:
    """A refusal is 1, a wrong request 2, nothing done 3, not known 4; the sentence goes to stderr."""
    refusal = {"error": "Because"}
    with canned((status, refusal), (status, refusal)) as (url, _):
        to_a_person = type_in(url, "cancel", ID)
        to_a_program = type_in(url, "cancel", ID, "--json")
    assert (to_a_person.exit_code, to_a_person.stdout, to_a_person.stderr) == (code, "", "Because\n")
    assert to_a_program.exit_code == code
    assert {**refusal, "type": ANY} == json.loads(to_a_program.stdout)


@pytest.mark.parametrize(
    ("words", "option"),
    [(("book", NINE, "Ada"), "--key"), (("hold", NINE, "Ada"), "--token")],
    ids=["book", "hold"],
)
def test_what_may_have_been_done_can_be_asked_again(words: tuple[str, ...], option: str) -> None:
    """A booking or hold whose answer is lost says how to repeat it as the same one."""
    with canned(None, (200, BOOKED if option == "--key" else {"message": "Held", "hold": HOLD})) as (url, _):
        lost = type_in(url, *words)
        assert lost.exit_code == 4
        again = lost.stderr.split()[-2:]
        assert again[0] == option
        assert type_in(url, *words, *again).exit_code == 0


def test_a_cancelled_booking_is_told_apart() -> None:
    """The repeat of a booking that was cancelled since says so, and that another key books again."""
    refused = {"error": "Appointment is cancelled", "appointment": {**APPOINTMENT, "status": "cancelled"}}
    with canned((409, refused), headers={"Error-Type": "AppointmentCancelled"}) as (url, _):
        ended = type_in(url, "book", NINE, "Ada", "--key", "desk")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == "This booking was cancelled; send a new Idempotency-Key to book again\n"


@pytest.mark.parametrize("command", [("cancel", ID), ("move", ID, NINE, "--key", "desk")])
def test_a_change_may_require_a_version(command: tuple[str, ...]) -> None:
    """`--if-version` and the key of a move are sent as headers."""
    with canned((200, {"message": "Done", "appointment": APPOINTMENT})) as (url, met):
        assert type_in(url, *command, "--if-version", "5").exit_code == 0
    assert met[0].headers["If-Match"] == '"5"'
    assert met[0].headers.get("Idempotency-Key") == ("desk" if "move" in command else None)


def test_no_gateway_is_one_line() -> None:
    """Where nothing listens, nothing was done: one line says so, without a traceback."""
    url = f"http://127.0.0.1:{free_port()}"
    result = type_in(url, "day")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == f"No gateway answers at {url}\n"


@pytest.mark.parametrize("url", ["localhost:3000", "nats://localhost:4222", "http://localhost:port", ""])
def test_a_wrong_url_is_one_line(url: str) -> None:
    """What is no URL of HTTP is a wrong request."""
    result = type_in("", "day", "--url", url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"{url} is not a URL of HTTP\n"


STRANGE = pytest.mark.parametrize(
    "answer", [b"<html>", [], {"detail": "Not Found"}], ids=["HTML", "list", "other"]
)


@STRANGE
@pytest.mark.parametrize("status", [200, 502])
def test_a_change_that_a_stranger_answers_may_have_been_done(status: int, answer: Any) -> None:
    """An answer that no gateway gives, as a proxy's, tells nothing of what was asked for."""
    with canned((status, answer)) as (url, _):
        result = type_in(url, "cancel", ID)
    assert result.exit_code == 4
    assert result.stderr == f"What answers at {url} is no gateway of slotkeeper (status {status})\n"


@STRANGE
@pytest.mark.parametrize(
    ("status", "words"),
    [(200, ("show", ID)), (404, ("show", ID)), (404, ("cancel", ID)), (301, ("cancel", ID)), (405, ("day",))],
)
def test_a_url_where_no_gateway_is_is_a_wrong_request(
    status: int, words: tuple[str, ...], answer: Any
) -> None:
    """A page, a redirection or another API at that URL means that nothing was done, and the URL is wrong."""
    with canned((status, answer)) as (url, _):
        result = type_in(url, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{url} is not the root of a gateway")


@pytest.mark.parametrize(
    "words",
    [("book", "tomorrow", "Ada"), ("day", "someday"), ("book",), ("fly",), ("watch", "--every=nan")],
)
def test_wrong_words_have_a_type_too(words: tuple[str, ...]) -> None:
    """With `--json`, a program gets a usage error as it gets a refusal: on stdout, in JSON."""
    result = type_in("http://127.0.0.1:1", *words, "--json")
    body = json.loads(result.stdout)
    assert (result.exit_code, body["type"], result.stderr) == (2, "UsageError", "")
    assert body["error"]


@pytest.mark.parametrize("words", [("book", "tomorrow", "Ada"), ("day", "someday"), ("book",), ("fly",)])
def test_wrong_words_are_a_wrong_request(words: tuple[str, ...]) -> None:
    """What cannot be read is told before anything is sent."""
    assert type_in("http://127.0.0.1:1", *words).exit_code == 2


LONG = {
    **APPOINTMENT,
    "slot": "2031-05-04T09:00:00.123Z",
    "patientName": "Augusta Ada King, Countess of Lovelace",
    "resources": ["a-very-long-name-of-a-treatment-room", "dr-lee"],
}


@pytest.mark.parametrize("columns", ["1", "20", "40", "79", "99"])
@pytest.mark.parametrize("words", [("day", "2031-05-04"), ("show", ID), ("cancel", ID)])
def test_on_a_narrow_terminal_no_value_is_cut(columns: str, words: tuple[str, ...]) -> None:
    """Below 100 columns each appointment is a block: a line for its id, its patient and its time."""
    body = {"appointment": LONG, "appointments": [LONG], "message": "Booking cancelled"}
    with canned((200, body)) as (url, _):
        result = CliRunner(env={"COLUMNS": columns}).invoke(app, [*words, "--url", url])
    values = {line.split(maxsplit=1)[-1] for line in result.stdout.splitlines() if line.startswith(" ")}
    assert {ID, LONG["patientName"], "a-very-long-name-of-a-treatment-room, dr-lee"} <= values
    assert "11:00:00.123 +02:00" in result.stdout


@pytest.mark.parametrize("columns", ["100", "101", "120", "200"])
def test_names_alone_are_broken_in_a_table(columns: str) -> None:
    """From 100 columns on, a long name takes several lines; a time or an id does not."""
    name = "Augusta Ada King, Countess of Lovelace " * 4
    with canned((200, {"appointments": [{**LONG, "patientName": name}]})) as (url, _):
        command = ["day", "2031-05-04", "--days", "2", "--url", url]
        result = CliRunner(env={"COLUMNS": columns}).invoke(app, command)
    (row,) = (line for line in result.stdout.splitlines() if ID in line)
    assert "2031-05-04 11:00:00.123 +02:00" in row
    assert "Augusta" in row
    assert result.stdout.count("Countess") == 4


def test_a_pipe_gets_whole_rows() -> None:
    """What has no width, as a file, gets a row of the table for each appointment, however long."""
    name = "x" * 200
    with canned((200, {"appointments": [{**LONG, "patientName": name}]})) as (url, _):
        result = CliRunner(env={"COLUMNS": None}).invoke(app, ["day", "2031-05-04", "--url", url])
    (row,) = (line for line in result.stdout.splitlines() if ID in line)
    assert name in row


def test_each_of_several_resources_is_listed() -> None:
    """What several resources have is in one order, and a booking of two of them is there once."""
    early = {**APPOINTMENT, "id": "early", "slot": "2031-05-04T08:00:00.000Z", "resources": ["room-2"]}
    both = {**APPOINTMENT, "resources": ["dr-lee", "room-2"]}
    with canned((200, {"appointments": [both]}), (200, {"appointments": [early, both]})) as (url, met):
        found = json.loads(type_in(url, "day", "2031-05-04", "-r", "dr-lee", "-r", "room-2", "--json").stdout)
    assert found == {"appointments": [early, both]}
    assert [request.path.split("&")[0].split("=")[1] for request in met] == ["dr-lee", "room-2"]


def test_what_several_resources_have_taken_is_named_by_resource() -> None:
    """`slots` says at which of them each slot is taken."""
    pages = [(200, {**PAGE, "taken": [{**TAKEN, "resource": of}]}) for of in ("room-2", "dr-lee")]
    with canned(*pages) as (url, _):
        result = type_in(url, "slots", "2031-05-04", "-r", "room-2", "-r", "dr-lee")
    rows = [line.split()[-1] for line in result.stdout.splitlines() if "held" in line]
    assert rows == ["dr-lee", "room-2"]


def test_a_month_can_be_listed() -> None:
    """A window of 31 days, which in October has an hour more, is asked for as it is."""
    with canned((200, {"appointments": []})) as (url, met):
        assert type_in(url, "day", "2031-10-01", "--days", "31").exit_code == 0
    assert met[0].path.endswith("from=2031-09-30T22%3A00%3A00.000Z&to=2031-10-31T23%3A00%3A00.000Z")


@pytest.mark.parametrize("variable", ["SLOTKEEPER_URL", "GATEWAY_URL"])
def test_the_gateway_is_known_from_the_environment(variable: str) -> None:
    """`GATEWAY_URL`, as `make env` calls it, is understood; `SLOTKEEPER_URL` comes first."""
    with canned((200, {"appointments": []})) as (url, _):
        environment = {"GATEWAY_URL": "http://127.0.0.1:1", "SLOTKEEPER_URL": None, variable: url}
        result = CliRunner(env=environment).invoke(app, ["day", "2031-05-04"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("key", ["ключ", "a\nb", "", "x" * 256])
def test_a_key_that_cannot_be_sent_is_a_wrong_request(key: str) -> None:
    """It is refused before anything is sent, in a sentence."""
    result = type_in("http://127.0.0.1:1", "book", NINE, "Ada", "--key", key, "--json")
    assert result.exit_code == 2
    assert "must be 1 to 255 printable ASCII characters" in json.loads(result.stdout)["error"]


@pytest.mark.parametrize("id", [".", "..", "a/../..", "?", "#"])
def test_an_id_is_never_a_path(id: str) -> None:
    """Whatever is typed as an id is asked for as an appointment."""
    with canned((404, {"error": "No such appointment"})) as (url, met):
        assert type_in(url, "show", id).exit_code == 1
    assert met[0].path.startswith("/api/appointments/")
    assert "/" not in met[0].path.removeprefix("/api/appointments/")


def test_an_empty_day_says_so() -> None:
    """Where there is nothing, no empty table is shown."""
    with canned((200, {"appointments": []})) as (url, _):
        assert type_in(url, "day", "2031-05-04").stdout == "default, 2031-05-04: nothing\n"


def test_a_list_is_read_to_its_last_page() -> None:
    """However long a day is, all of it is listed."""
    later = {**APPOINTMENT, "id": "z"}
    pages = [(200, {"appointments": [APPOINTMENT], "next": "abc"}), (200, {"appointments": [later]})]
    with canned(*pages) as (url, met):
        result = type_in(url, "day", "2031-05-04", "-r", "dr-lee", "--json")
    assert json.loads(result.stdout) == {"appointments": [APPOINTMENT, later]}
    assert [request.path for request in met][1].endswith(f"{WINDOW}&cursor=abc")


def test_who_watches_is_told_what_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """First all that is taken, then each change; a gateway that is lost meanwhile is waited for."""
    looks = 0

    def look_away(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("shared.cli.watch.sleep", look_away)
    held, booked = ({**TAKEN, "state": state} for state in ("held", "booked"))
    looked_at = [(200, {**PAGE, "taken": taken}) for taken in ([held], [booked], [])]
    looked_at.insert(1, (503, {"error": "No worker is there"}))
    with canned(*looked_at) as (url, _):
        result = type_in(url, "watch", "2031-05-04", "--json")
    assert result.exit_code == 0
    assert [json.loads(line)["state"] for line in result.stdout.splitlines()] == ["held", "booked", "free"]
    assert result.stderr == "No worker is there; still trying\nIt answers again\n"


def test_watching_where_nobody_is_ends() -> None:
    """A gateway that was never there is no gateway that was lost."""
    assert type_in(f"http://127.0.0.1:{free_port()}", "watch").exit_code == 3
