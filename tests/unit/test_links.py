"""The secrets with which patients reach their own appointment."""

from pathlib import Path

import pytest

from gateway.access import links
from gateway.access.__main__ import main
from gateway.access.links import Links, new_link_key
from shared.process import watched_file
from shared.process.watched_file import InvalidFile

ID, OTHER = "0b0c7a52-6f0e-4f0e-9a53-2d7c1f1b8a10", "1b0c7a52-6f0e-4f0e-9a53-2d7c1f1b8a10"


def written(path: Path, *keys: links.LinkKey) -> Path:
    """Write a file of keys."""
    links.write_link_keys(path, list(keys))
    return path


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_file, "CHECK_SECONDS", 0)


def test_secret_opens_its_own_appointment_alone(tmp_path: Path) -> None:
    """A secret verifies for the id that it was made for, in either case, and for no other."""
    found = Links(written(tmp_path / "keys", new_link_key()))
    secret = found.secret_of(ID)
    assert secret.startswith("ml_")
    assert found.verify(secret, ID)
    assert found.verify(secret, ID.upper())
    assert not found.verify(secret, OTHER)


@pytest.mark.parametrize(
    "change", [lambda s: s[:-1], lambda s: s + "A", lambda s: "ml_x_" + s, lambda _: "ml_"]
)
def test_changed_secret_opens_nothing(tmp_path: Path, change: "object") -> None:
    """A secret with one character less or more, of an unknown key, or an empty one is refused."""
    found = Links(written(tmp_path / "keys", new_link_key()))
    assert callable(change)
    assert not found.verify(change(found.secret_of(ID)), ID)


def test_old_secret_is_good_while_its_key_stays_in_the_file(tmp_path: Path) -> None:
    """After a rotation the new key signs, and the old secret opens until the old key is removed."""
    old, new = new_link_key(), new_link_key()
    path = written(tmp_path / "keys", old)
    found = Links(path)
    secret = found.secret_of(ID)
    written(path, new, old)
    assert found.secret_of(ID).split("_")[1] == new.id
    assert found.verify(secret, ID)
    written(path, new)
    assert not found.verify(secret, ID)


def test_file_that_became_wrong_keeps_the_old_keys(tmp_path: Path) -> None:
    """A file that is half written or removed while the gateway runs closes no link."""
    path = written(tmp_path / "keys", new_link_key())
    found = Links(path)
    secret = found.secret_of(ID)
    path.write_text("[")
    assert found.verify(secret, ID)
    path.unlink()
    assert found.verify(secret, ID)


@pytest.mark.parametrize("content", ["", "[]", '[{"id":"1","secret":"short-canary"}]', "{}"])
def test_wrong_file_stops_the_start_without_its_content(tmp_path: Path, content: str) -> None:
    """The error names the wrong field, and no secret."""
    path = tmp_path / "keys"
    path.write_text(content)
    with pytest.raises(InvalidFile) as caught:
        Links(path)
    assert "canary" not in str(caught.value)


def test_missing_file_stops_the_start(tmp_path: Path) -> None:
    """The error names the reason."""
    with pytest.raises(InvalidFile, match="No such file"):
        Links(tmp_path / "none")


def test_rotation_keeps_the_secrets_that_patients_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m gateway.access` makes a private file, adds a key each time, and drops the third."""
    path = tmp_path / "links.json"
    monkeypatch.setattr("sys.argv", ["access", str(path)])
    main()
    assert path.stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr().out == f"{path} has 1 key; it makes the links\n"
    found = Links(path)
    secret = found.secret_of(ID)
    main()
    assert found.secret_of(ID) != secret
    assert found.verify(secret, ID)
    main()
    assert not found.verify(secret, ID)
    assert secret.split("_")[2] not in capsys.readouterr().out


def test_rotation_of_a_wrong_file_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command names the file and the reason."""
    path = tmp_path / "links.json"
    path.write_text("[")
    monkeypatch.setattr("sys.argv", ["access", str(path)])
    with pytest.raises(SystemExit, match=r"links\.json"):
        main()
    assert path.read_text() == "["
