"""Key files and JSON Web Key Sets: what is wrong is named by its field, and what was valid stays in use."""

import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared.process import watched_file
from shared.process.api_keys import parse_keys
from shared.process.watched_file import InvalidFile, WatchedFile

SECRET = "0" * 64
VALID = {
    "id": "web-1",
    "name": "web",
    "secrets": [{"sha256": SECRET}],
    "scopes": ["book"],
    "sites": "all",
    "created": "2030-01-01T00:00Z",
}
CANARY = "canary-canary"
CALENDAR = {"kind": "calendar", "scopes": ["read"], "sites": ["harbour"], "resource": "dr-lee"}


def parse(**more: Any) -> None:
    key = {name: value for name, value in {**VALID, **more}.items() if value is not None}
    parse_keys(json.dumps({"keys": [key]}).encode())


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"id": CANARY.upper()}, "keys.0.id"),
        ({"id": "anyone_1"}, "keys.0.id"),
        ({"secrets": [{"sha256": CANARY}]}, "keys.0.secrets.0.sha256"),
        ({"secrets": []}, "keys.0: secrets are missing"),
        ({"scopes": ["book", CANARY]}, "keys.0.scopes.1"),
        ({"scopes": None}, "keys.0.scopes"),
        ({"sites": CANARY}, "keys.0.sites"),
        ({"sites": []}, "keys.0.sites"),
        ({"sites": None}, "keys.0.sites"),
        ({"sites": [f"{CANARY} "]}, "keys.0.sites"),
        ({"limits": {"rate": 0}}, "keys.0.limits.rate"),
        ({"limits": {"rate": "5"}}, "keys.0.limits.rate"),
        ({"expires": CANARY}, "keys.0.expires"),
        ({"nats": "yes"}, "keys.0.nats"),
        ({CANARY: 1}, "keys.0: has an unknown field"),
        ({"kind": "publishable", "scopes": ["names"]}, "keys.0: scopes"),
        ({"kind": "publishable", "origins": [f"https://{CANARY}/page"]}, "keys.0.origins.0"),
        ({"origins": ["https://example.org"]}, "keys.0: origins"),
        ({"resource": "dr-lee"}, "keys.0: resource"),
        ({"kind": "calendar", "sites": ["harbour"], "resource": "dr-lee"}, "keys.0: scopes"),
        ({"kind": "calendar", "scopes": ["read"], "resource": "dr-lee"}, "keys.0: sites"),
        ({"kind": "calendar", "scopes": ["read"], "sites": ["harbour"]}, "keys.0: sites"),
        ({**CALENDAR, "sites": ["harbour", "north"]}, "keys.0: sites"),
        ({**CALENDAR, "resource": f"{CANARY}/x"}, "keys.0.resource"),
        ({**CALENDAR, "limits": {"rate": 5}}, "keys.0: limits"),
        ({**CALENDAR, "nats": True}, "keys.0: nats"),
        ({"id": "anyone"}, "keys.0: id is reserved"),
        ({"id": "jwt-0123"}, "keys.0: id is reserved"),
    ],
)
def test_wrong_field_of_a_key_is_named_without_its_value(more: dict[str, Any], field: str) -> None:
    """The error begins with the field, and has no value: it may be a secret at the wrong place."""
    with pytest.raises(InvalidFile) as wrong:
        parse(**more)
    assert str(wrong.value).startswith(field)
    assert "canary" not in str(wrong.value).lower()


def test_control_valid_keys_are_read() -> None:
    """Keys of each kind and a NATS user without a secret are valid; two of an id are not."""
    parse()
    parse(kind="publishable", origins=["https://example.org"], limits={"rate": 5})
    parse(nats=True, secrets=None)
    parse(**CALENDAR)
    with pytest.raises(InvalidFile, match="two keys have the same id"):
        parse_keys(json.dumps({"keys": [VALID, VALID]}).encode())


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedFile[int]:
    """Return a file with a number that is looked at with each use."""
    monkeypatch.setattr(watched_file, "CHECK_SECONDS", 0)

    def parse_number(data: bytes) -> int:
        if not data.isdigit():
            raise InvalidFile("is no number")
        return int(data)

    (tmp_path / "number").write_text("1")
    return WatchedFile(tmp_path / "number", parse_number)


def replace(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def test_changed_file_is_read_again(file: WatchedFile[int]) -> None:
    """A file with another inode or content is read again; one of the same size too."""
    assert file.content == 1
    replace(file._path, "2")
    assert file.content == 2
    replace(file._path, "3")
    assert file.content == 3


def test_file_that_became_wrong_keeps_its_content_and_is_logged_once(file: WatchedFile[int]) -> None:
    """A wrong or deleted file locks nobody out; a repaired one is used."""
    with capture_logs() as lines:
        replace(file._path, "x")
        assert [file.content, file.content] == [1, 1]
        file._path.unlink()
        assert [file.content, file.content] == [1, 1]
        replace(file._path, "4")
        assert file.content == 4
    events = [(line["event"], line.get("reason")) for line in lines]
    assert events == [
        ("file_is_wrong", "is no number"),
        ("file_is_wrong", "No such file or directory"),
        ("file_reloaded", None),
    ]


def test_file_is_looked_at_once_a_second(file: WatchedFile[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A request does not pay for the disk: between two looks the content is from memory."""
    monkeypatch.setattr(watched_file, "CHECK_SECONDS", 3600)
    assert file.content == 1
    replace(file._path, "2")
    assert file.content == 1
