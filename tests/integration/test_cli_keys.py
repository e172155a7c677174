"""The command `slotkeeper-keys`, and the key that `slotkeeper` sends."""

import json
import re
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from shared.cli import keys
from shared.cli.app import app as slotkeeper
from shared.process.api_keys import ApiKey
from tests.integration.canned import canned
from tests.integration.cli_calls import APPOINTMENT, ID
from tests.keys import digest

TOKEN = re.compile(r"(sk|pk|ck)_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
CANARY = "sk_0123456789ab_canary-canary-canary-canary-canary-canary-1"
NEW = ("new", "--name", "web", "--site", "clinic-1", "--scopes", "book,hold")


def run(file: Path, *words: str) -> Result:
    result = CliRunner(env={"API_KEYS_FILE": str(file), "COLUMNS": "200"}).invoke(keys.app, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def stored(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.read_text())["keys"]
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture(autouse=True)
def no_secret_is_stored(file: Path) -> Iterator[None]:
    """Check after each test that the file has no token and nothing is left beside it."""
    yield
    assert not file.exists() or not TOKEN.search(file.read_text())
    assert list(file.parent.iterdir()) in ([], [file])


def test_new_key_is_printed_once_and_stored_as_a_digest(file: Path) -> None:
    """Stdout has the key alone; the file, which only its owner reads, has its SHA-256."""
    made = run(file, *NEW, "--rate", "60", "--holds", "5", "--expires", "2031-01-01T00:00Z")
    token = made.stdout.strip()
    assert TOKEN.fullmatch(token)
    assert made.exit_code == 0
    assert token not in made.stderr
    (key,) = stored(file)
    assert key["secrets"] == [{"sha256": digest(token)}]
    assert (key["scopes"], key["sites"], key["limits"]) == (
        ["book", "hold"],
        ["clinic-1"],
        {"rate": 60, "holds": 5},
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_link_of_a_calendar_is_printed_once_and_stored_as_a_digest(file: Path) -> None:
    """Stdout has the URL alone; the key is of one resource, and is listed and revoked as others are."""
    made = run(
        file, "calendar", "dr-lee", "--site", "harbour", "--name", "a phone", "--url", "https://a.example/"
    )
    address, _, token = made.stdout.strip().partition("?key=")
    (key,) = stored(file)
    assert address == "https://a.example/api/calendars/harbour/dr-lee.ics"
    assert TOKEN.fullmatch(token)
    assert token not in made.stderr
    assert key["secrets"] == [{"sha256": digest(token)}]
    assert (key["kind"], key["scopes"], key["sites"], key["resource"]) == (
        *("calendar", ["read"]),
        *(["harbour"], "dr-lee"),
    )
    assert "harbour/dr-lee" in run(file, "list").stdout
    assert run(file, "revoke", key["id"]).exit_code == 0
    assert stored(file) == []


def test_link_of_a_wrong_resource_is_not_made(file: Path) -> None:
    """A name that no resource has is refused, and stays out of the message."""
    made = run(file, "calendar", "canary/x", "--name", "a phone")
    assert made.exit_code == 2
    assert "resource must be" in made.stderr
    assert not file.exists()


def test_key_that_expires_on_a_date_ends_at_its_midnight_in_utc(file: Path) -> None:
    """A date needs no clock time, and means the same on every machine."""
    assert run(file, *NEW, "--expires", "2031-01-01").exit_code == 0
    assert stored(file)[0]["expires"] == "2031-01-01T00:00:00.000Z"


def test_key_of_origins_comes_with_the_setting_that_browsers_need(file: Path) -> None:
    """Stderr names ALLOWED_ORIGINS with the origins; a key without origins needs no such line."""
    origins = ("https://one.example", "https://two.example")
    made = run(file, *NEW, "--publishable", *(word for each in origins for word in ("--origin", each)))
    assert f"ALLOWED_ORIGINS={','.join(origins)}\n" in made.stderr
    assert TOKEN.fullmatch(made.stdout.strip())
    assert "ALLOWED_ORIGINS" not in run(file, *NEW, "--publishable").stderr


def test_file_keeps_the_mode_that_an_operator_gave_it(file: Path) -> None:
    """A container's user may be allowed to read it; a later change keeps that."""
    run(file, *NEW)
    file.chmod(0o644)
    run(file, *NEW)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert len(stored(file)) == 2


def test_rotated_key_has_the_old_secret_until_the_end_of_the_overlap(file: Path) -> None:
    """Both secrets are valid for the overlap; without one, the old secret is gone."""
    first = run(file, *NEW).stdout.strip()
    id = first.split("_")[1]
    second = run(file, "rotate", id, "--overlap", "1d").stdout.strip()
    assert [secret["sha256"] for secret in stored(file)[0]["secrets"]] == [digest(second), digest(first)]
    assert ["until" in secret for secret in stored(file)[0]["secrets"]] == [False, True]
    third = run(file, "rotate", id, "--overlap", "0m").stdout.strip()
    assert [secret["sha256"] for secret in stored(file)[0]["secrets"]] == [digest(third)]


def test_revoked_key_is_gone(file: Path) -> None:
    """The others stay; an unknown id is exit code 1."""
    first, second = (run(file, *NEW).stdout.split("_")[1] for _ in range(2))
    assert run(file, "revoke", first).exit_code == 0
    assert [key["id"] for key in stored(file)] == [second]
    assert run(file, "revoke", first).exit_code == 1
    assert run(file, "rotate", first).exit_code == 1


def test_list_shows_keys_without_secrets(file: Path) -> None:
    """The table has ids, scopes, sites and limits, and no digest."""
    token = run(file, *NEW, "--rate", "60").stdout.strip()
    shown = run(file, "list").stdout
    assert all(text in shown for text in (token.split("_")[1], "book, hold", "clinic-1", "rate 60", "never"))
    assert digest(token) not in shown


def test_keys_made_at_once_are_all_kept(file: Path) -> None:
    """Two commands do not overwrite each other's key."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: _make(file), range(24)))
    assert {key["id"] for key in stored(file)} == set(made)


def _make(file: Path) -> str:
    """Make a key below the command line, whose output is not for threads."""
    key = ApiKey.model_validate_json(
        json.dumps(
            {
                "id": token_hex(6),
                "name": "web",
                "scopes": [],
                "sites": "all",
                "secrets": [{"sha256": "0" * 64}],
                "created": "2030-01-01T00:00Z",
            }
        )
    )
    keys._change(file, lambda before: [*before, key])
    return key.id


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--site", "clinic 1", "--scopes", "book"), "must be 1 to 64 characters"),
        (("--site", "a", "--scopes", "book,reed"), "must be some of book, hold"),
        (("--scopes", "book"), "--site"),
        (("--site", "a", "--all-sites", "--scopes", "book"), "--site"),
        (("--site", "a", "--scopes", "book,read", "--publishable"), "book and hold alone"),
        (("--site", "a", "--scopes", "book", "--publishable", "--holds", "3"), "leave out --holds"),
        (("--site", "a", "--scopes", "book", "--origin", "https://example.org"), "publishable"),
        (("--site", "a", "--scopes", "book", "--expires", "soon"), "--expires"),
        (("--site", "a", "--scopes", "book", "--expires", "2030-02-30"), "--expires"),
    ],
)
def test_wrong_key_is_refused_by_name_of_its_field(file: Path, words: tuple[str, ...], said: str) -> None:
    """Exit code 2, a sentence, and no file."""
    refused = run(file, "new", "--name", "web", *words)
    assert refused.exit_code == 2
    assert said in " ".join(refused.stderr.split())
    assert not file.exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", json.dumps({"keys": [{"id": CANARY}]}), json.dumps({CANARY: 1})]
)
def test_wrong_file_is_not_overwritten(file: Path, text: str) -> None:
    """A damaged file stays as it is; the error has no value of it."""
    file.write_text(text)
    refused = run(file, *NEW)
    assert refused.exit_code == 2
    assert "canary" not in refused.output + refused.stderr
    assert file.read_text() == text
    file.unlink()


@pytest.mark.parametrize("way", ["option", "variable"])
def test_command_sends_its_key_as_a_bearer_token(way: str) -> None:
    """`--api-key` or SLOTKEEPER_API_KEY becomes the header Authorization, and no part of the URL."""
    words = ("--api-key", CANARY) if way == "option" else ()
    env = {"SLOTKEEPER_API_KEY": CANARY} if way == "variable" else {}
    with canned((200, {"appointment": APPOINTMENT})) as (url, received):
        shown = CliRunner(env={"SLOTKEEPER_URL": url, **env}).invoke(slotkeeper, ["show", ID, *words])
    assert shown.exit_code == 0
    assert received[0].headers["Authorization"] == f"Bearer {CANARY}"
    assert "canary" not in received[0].path + shown.output


@pytest.mark.parametrize("words", [("show", ID), ("show", ID, "--json"), ("show", "--help"), ("show",)])
@pytest.mark.parametrize("key", [CANARY, f"{CANARY}\n{CANARY}", f"{CANARY}é", f"{CANARY} canary"])
def test_key_is_in_no_output(words: tuple[str, ...], key: str) -> None:
    """No error and no help shows it: neither a valid one nor one that no header can carry."""
    env = {"SLOTKEEPER_API_KEY": key, "SLOTKEEPER_URL": "http://127.0.0.1:1"}
    shown = CliRunner(env=env).invoke(slotkeeper, list(words))
    assert "canary" not in shown.output + shown.stderr + str(shown.exception)
