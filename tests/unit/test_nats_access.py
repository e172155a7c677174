"""The files of `python -m deploy.nats_access`."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.nats_access import permissions
from deploy.nats_access.files import CONFIGURATION, access_file, client_file, write_access
from gateway.sms.opt_outs import OPT_OUTS
from gateway.sms.store import CONVERSATIONS
from gateway.webhooks import messages, store
from shared.contract.caller import Scope
from shared.process.api_keys import ApiKey
from shared.process.nats_access import read_access

KEY = ApiKey(
    id="billing",
    name="billing",
    scopes=frozenset({Scope.BOOK}),
    sites="all",
    created=datetime(2026, 1, 1, tzinfo=UTC),
    nats=True,
)


def test_second_run_keeps_seeds_and_removes_revoked_clients(tmp_path: Path) -> None:
    """A user keeps its seed; a client whose key is gone loses its account and its file."""
    assert write_access(tmp_path, [KEY]) == ["billing"]
    before = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert write_access(tmp_path, [KEY]) == ["billing"]
    assert {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before
    for keys in ([], [KEY.model_copy(update={"expires": KEY.created})]):
        write_access(tmp_path, [KEY])
        assert write_access(tmp_path, keys) == []
        assert not client_file(tmp_path, "billing").exists()
        assert list(json.loads((tmp_path / CONFIGURATION).read_text())["accounts"]) == ["SERVICE"]


def test_secrets_are_in_private_files_only(tmp_path: Path) -> None:
    """The configuration has no seed, and access files are readable by their owner alone."""
    write_access(tmp_path, [KEY])
    configuration = (tmp_path / CONFIGURATION).read_text()
    for file in (access_file(tmp_path, "gateway"), client_file(tmp_path, "billing")):
        access = read_access(file)
        assert file.stat().st_mode & 0o777 == 0o600
        assert access.seed.get_secret_value().startswith("SU")
        assert access.seed.get_secret_value() not in configuration
        assert access.seed.get_secret_value() not in repr(access)


@pytest.mark.parametrize("content", [None, "", "{}", '{"account":"a.b","user":"u","seed":"S"}'])
def test_unusable_access_file_is_described_without_its_content(tmp_path: Path, content: str | None) -> None:
    """A missing or wrong file is one sentence."""
    file = tmp_path / "access.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match="cannot be read|must be a file of") as refused:
        read_access(file)
    assert "seed" not in str(refused.value)


def test_names_in_the_permissions_are_those_of_the_gateway() -> None:
    """The permissions repeat names of the gateway, which `deploy` does not import."""
    assert permissions.WEBHOOK_TEST == messages.TEST_SUBJECT
    assert (permissions.WEBHOOK_BUCKET, permissions.DELIVERY_BUCKET) == (store.ENDPOINTS, store.DELIVERIES)
    assert permissions.SMS_BUCKETS == (CONVERSATIONS, OPT_OUTS)


def test_files_are_readable_by_containers_if_wanted(tmp_path: Path) -> None:
    """With `readable`, containers read the services' files; the folder keeps other users of the host out."""
    folder = tmp_path / "nats"
    write_access(folder, [KEY], readable=True)
    assert access_file(folder, "gateway").stat().st_mode & 0o777 == 0o444
    assert client_file(folder, "billing").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert write_access(folder, [KEY], readable=True) == ["billing"]
