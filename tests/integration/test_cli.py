"""The command `slotkeeper`: its requests to a gateway, its output and its exit codes."""

import json
from typing import Any
from unittest.mock import ANY

import pytest
from typer.testing import CliRunner

from deploy.local.ports import free_port
from shared.cli.app import app
from tests.integration.canned import Request, canned
from tests.integration.cli_calls import APPOINTMENT, HOLD, ID, NINE, PAGE, TAKEN, TOKEN, WINDOW, invoke

BOOKED = {"message": "Booking confirmed", "appointment": APPOINTMENT}


pytestmark = pytest.mark.usefixtures("in_berlin")
SERVED = {"service": "visit", "bufferBefore": 10, "bufferAfter": 5}
CALLS: list[tuple[tuple[str, ...], Any, Request, tuple[str, ...]]] = [
    (
        (
            "book",
            "2031-05-04 11:00",
            "Ada",
            *["-r", "dr-lee", "-r", "room-2", "-m", "45", "-s", "harbour", "--contact", "+49 40", "--hold"],
            TOKEN,
        ),
        BOOKED,
        Request(
            "POST",
            "/api/book-appointment",
            {
                "slot": NINE,
                "patientName": "Ada",
                "contact": "+49 40",
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
        Request("POST", "/api/hold-appointment", {"slot": NINE, "patientName": "Ada", "holdToken": TOKEN}),
        ("Slot held for 5 minutes", TOKEN, "2031-05-04 11:00 +02:00"),
    ),
    (
        ("release", TOKEN, "--slot", "2031-05-04 11:00"),
        {"message": "Hold released"},
        Request("POST", "/api/release-hold", {"slot": NINE, "holdToken": TOKEN}),
        ("Hold released",),
    ),
    (
        ("cancel", ID),
        {"message": "Booking cancelled", "appointment": {**APPOINTMENT, "status": "cancelled"}},
        Request("DELETE", f"/api/appointments/{ID}"),
        ("Booking cancelled", "cancelled"),
    ),
    (
        ("move", ID, "2031-05-04 11:00", "-r", "dr-wu"),
        {"message": "Booking moved", "appointment": APPOINTMENT},
        Request("PATCH", f"/api/appointments/{ID}", {"slot": NINE, "resources": ["dr-wu"]}),
        ("Booking moved", ID),
    ),
    (
        ("move", ID, "-m", "30"),
        {"message": "Booking moved", "appointment": APPOINTMENT},
        Request("PATCH", f"/api/appointments/{ID}", {"durationMinutes": 30}),
        ("Booking moved",),
    ),
    (
        ("book", "2031-05-04 11:00", "Ada", "-r", "dr-lee", "--service", "visit"),
        {"message": "Booking confirmed", "appointment": {**APPOINTMENT, **SERVED}},
        Request(
            "POST",
            "/api/book-appointment",
            {"slot": NINE, "patientName": "Ada", "resources": ["dr-lee"], "service": "visit"},
        ),
        ("Booking confirmed", "visit, 10 minutes before, 5 minutes after"),
    ),
    (
        ("hold", "2031-05-04T09:00Z", "Ada", "--token", TOKEN, "--service", "visit"),
        {"message": "Slot held for 5 minutes", "hold": {**HOLD, "service": "visit"}},
        Request(
            "POST",
            "/api/hold-appointment",
            {"slot": NINE, "patientName": "Ada", "service": "visit", "holdToken": TOKEN},
        ),
        ("Slot held for 5 minutes", "visit"),
    ),
    (
        ("move", ID, "--service", "visit"),
        {"message": "Booking moved", "appointment": {**APPOINTMENT, **SERVED}},
        Request("PATCH", f"/api/appointments/{ID}", {"service": "visit"}),
        ("Booking moved", "visit"),
    ),
    (
        ("amend", ID, "--name", "Ada", "--attendance", "arrived"),
        {"message": "Booking amended", "appointment": {**APPOINTMENT, "attendance": "arrived"}},
        Request("PATCH", f"/api/appointments/{ID}", {"patientName": "Ada", "attendance": "arrived"}),
        ("Booking amended", "attendance  arrived"),
    ),
    (
        ("show", "a/b?c"),
        {"appointment": APPOINTMENT},
        Request("GET", "/api/appointments/a%2Fb%3Fc"),
        ("Ada [red] :cat:", "booked"),
    ),
    (
        ("history", ID),
        {"history": [{"version": 1, "type": "booked", "at": NINE, "slot": NINE, "resources": ["dr-lee"]}]},
        Request("GET", f"/api/appointments/{ID}/history"),
        ("booked", "2031-05-04 11:00 +02:00", "dr-lee"),
    ),
    (
        ("day", "2031-05-04", "-r", "dr-lee"),
        {"appointments": [APPOINTMENT]},
        Request("GET", f"/api/appointments?{WINDOW}"),
        ("dr-lee, 2031-05-04", "Ada [red] :cat:", ID, "  11:00 +02:00", "45"),
    ),
    (
        ("slots", "2031-05-04", "-r", "dr-lee", "-s", "harbour"),
        {**PAGE, "taken": [TAKEN]},
        Request("GET", f"/api/slots?site=harbour&{WINDOW}"),
        ("dr-lee, 2031-05-04", "held", "  11:00 +02:00", "45"),
    ),
]


@pytest.mark.parametrize(
    ("words", "answer", "expected", "printed"), CALLS, ids=[words[0] for words, *_ in CALLS]
)
def test_command_sends_its_request_and_prints_the_reply(
    words: tuple[str, ...], answer: Any, expected: Request, printed: tuple[str, ...]
) -> None:
    """A command sends its request, and prints the reply for people, or unchanged JSON with `--json`."""
    with canned((200, answer), (200, answer)) as (url, received):
        human = invoke(url, *words)
        machine = invoke(url, *words, "--json")
    assert received == [expected, expected]
    assert human.exit_code == machine.exit_code == 0
    assert all(text in human.stdout for text in printed), human.stdout
    assert json.loads(machine.stdout) == answer
    assert not human.stderr + machine.stderr


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((status, 1) for status in (404, 409, 412, 422)),
        *((status, 2) for status in (400, 401, 403, 413, 415)),
        *((status, 3) for status in (429, 503)),
        *((status, 4) for status in (500, 504)),
    ],
)
def test_exit_code_tells_scripts_the_outcome(status: int, code: int) -> None:
    """A refusal exits with 1, a wrong request 2, not executed 3, unknown 4; the sentence goes to stderr."""
    refusal = {"error": "Because"}
    with canned((status, refusal), (status, refusal)) as (url, _):
        human = invoke(url, "cancel", ID)
        machine = invoke(url, "cancel", ID, "--json")
    assert (human.exit_code, human.stdout, human.stderr) == (code, "", "Because\n")
    assert machine.exit_code == code
    assert {**refusal, "type": ANY} == json.loads(machine.stdout)


@pytest.mark.parametrize(
    ("words", "option"),
    [(("book", NINE, "Ada"), "--key"), (("hold", NINE, "Ada"), "--token")],
    ids=["book", "hold"],
)
def test_lost_answer_prints_how_to_retry(words: tuple[str, ...], option: str) -> None:
    """A booking or hold with a lost answer prints the option that makes a retry the same request."""
    with canned(None, (200, BOOKED if option == "--key" else {"message": "Held", "hold": HOLD})) as (url, _):
        lost = invoke(url, *words)
        assert lost.exit_code == 4
        again = lost.stderr.split()[-2:]
        assert again[0] == option
        assert invoke(url, *words, *again).exit_code == 0


def test_replay_of_a_cancelled_booking_explains_itself() -> None:
    """A replay of a cancelled booking prints that it was cancelled, and that a new key books again."""
    refused = {"error": "Appointment is cancelled", "appointment": {**APPOINTMENT, "status": "cancelled"}}
    with canned((409, refused), headers={"Error-Type": "AppointmentCancelled"}) as (url, _):
        ended = invoke(url, "book", NINE, "Ada", "--key", "desk")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == "This booking was cancelled; send a new Idempotency-Key to book again\n"


@pytest.mark.parametrize(
    "command", [("cancel", ID), ("move", ID, NINE, "--key", "desk"), ("amend", ID, "--name", "Ada")]
)
def test_change_may_require_a_version(command: tuple[str, ...]) -> None:
    """`--if-version` and a move's `--key` are sent as headers."""
    with canned((200, {"message": "Done", "appointment": APPOINTMENT})) as (url, received):
        assert invoke(url, *command, "--if-version", "5").exit_code == 0
    assert received[0].headers["If-Match"] == '"5"'
    assert received[0].headers.get("Idempotency-Key") == ("desk" if "move" in command else None)


def test_no_gateway_is_one_line_on_stderr() -> None:
    """If nothing listens, nothing was executed: one line on stderr, without a traceback."""
    url = f"http://127.0.0.1:{free_port()}"
    result = invoke(url, "day")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == f"No gateway answers at {url}\n"


@pytest.mark.parametrize("url", ["localhost:3000", "nats://localhost:4222", "http://localhost:port", ""])
def test_wrong_url_is_one_line_on_stderr(url: str) -> None:
    """A URL that is not HTTP is a wrong request."""
    result = invoke("", "day", "--url", url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"{url} is not a URL of HTTP\n"


NOT_A_GATEWAY = pytest.mark.parametrize(
    "answer", [b"<html>", [], {"detail": "Not Found"}], ids=["HTML", "list", "other"]
)


@NOT_A_GATEWAY
@pytest.mark.parametrize("status", [200, 502])
def test_change_answered_by_no_gateway_is_unknown(status: int, answer: Any) -> None:
    """If something else than a gateway answers a change, as a proxy may, the outcome is unknown."""
    with canned((status, answer)) as (url, _):
        result = invoke(url, "cancel", ID)
    assert result.exit_code == 4
    assert result.stderr == f"What answers at {url} is no gateway of slotkeeper (status {status})\n"


@NOT_A_GATEWAY
@pytest.mark.parametrize(
    ("status", "words"),
    [(200, ("show", ID)), (404, ("show", ID)), (404, ("cancel", ID)), (301, ("cancel", ID)), (405, ("day",))],
)
def test_url_without_a_gateway_is_a_wrong_request(status: int, words: tuple[str, ...], answer: Any) -> None:
    """A page, a redirect or another API at the URL means that the URL is wrong: nothing was executed."""
    with canned((status, answer)) as (url, _):
        result = invoke(url, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{url} is not the root of a gateway")


@pytest.mark.parametrize(
    "words",
    [
        ("book", "tomorrow", "Ada"),
        ("day", "someday"),
        ("book",),
        ("fly",),
        ("watch", "--days=0"),
        ("events", "--nats=x"),
        ("events", "-s", "a b"),
    ],
)
def test_usage_error_is_json_for_programs(words: tuple[str, ...]) -> None:
    """With `--json`, a usage error is printed like a refusal: as JSON, on stdout."""
    result = invoke("http://127.0.0.1:1", *words, "--json")
    body = json.loads(result.stdout)
    assert (result.exit_code, body["type"], result.stderr) == (2, "UsageError", "")
    assert body["error"]


@pytest.mark.parametrize("words", [("book", "tomorrow", "Ada"), ("day", "someday"), ("book",), ("fly",)])
def test_usage_error_is_a_wrong_request(words: tuple[str, ...]) -> None:
    """An argument that cannot be parsed is refused before anything is sent."""
    assert invoke("http://127.0.0.1:1", *words).exit_code == 2


@pytest.mark.parametrize("variable", ["SLOTKEEPER_URL", "GATEWAY_URL"])
def test_gateway_url_comes_from_the_environment(variable: str) -> None:
    """`GATEWAY_URL`, which `make env` prints, is accepted; `SLOTKEEPER_URL` wins over it."""
    with canned((200, {"appointments": []})) as (url, _):
        environment = {"GATEWAY_URL": "http://127.0.0.1:1", "SLOTKEEPER_URL": None, variable: url}
        result = CliRunner(env=environment).invoke(app, ["day", "2031-05-04"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("key", ["ключ", "a\nb", "", "x" * 256])
def test_invalid_key_is_a_wrong_request(key: str) -> None:
    """A key that no header may carry is refused with a sentence before anything is sent."""
    result = invoke("http://127.0.0.1:1", "book", NINE, "Ada", "--key", key, "--json")
    assert result.exit_code == 2
    assert "must be 1 to 255 printable ASCII characters" in json.loads(result.stdout)["error"]


@pytest.mark.parametrize("id", [".", "..", "a/../..", "?", "#"])
def test_id_is_never_a_path(id: str) -> None:
    """An id is always sent as one path segment below `/api/appointments/`."""
    with canned((404, {"error": "No such appointment"})) as (url, received):
        assert invoke(url, "show", id).exit_code == 1
    assert received[0].path.startswith("/api/appointments/")
    assert "/" not in received[0].path.removeprefix("/api/appointments/")
