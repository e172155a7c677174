"""The sender of a message, by its subject: the gateway is believed, a client has the rights of its key."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.contract.caller import ANYONE, Caller, Scope, Share
from shared.contract.errors import Forbidden
from shared.contract.operations import BOOK, BOOKING_READY, CANCEL, GET, GRID, LIST_SLOTS
from shared.process.api_keys import ApiKey, Limits, SecretDigest, write_keys
from shared.process.settings import Misconfigured
from shared.worker.senders import Senders, any_sender, senders_with_accounts

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
OTHER = Caller(id="web", names=True)
KEY = ApiKey(
    id="billing",
    name="billing",
    scopes=frozenset({Scope.BOOK, Scope.NAMES}),
    sites=frozenset({"clinic-1"}),
    limits=Limits(holds=3),
    created=CREATED,
    nats=True,
)


@pytest.fixture
def senders(tmp_path: Path) -> Senders:
    without_nats = KEY.model_copy(
        update={"id": "http-only", "nats": False, "secrets": (SecretDigest(sha256="0" * 64),)}
    )
    expired = KEY.model_copy(update={"id": "expired", "expires": CREATED})
    write_keys(tmp_path / "keys.json", (KEY, without_nats, expired))
    return senders_with_accounts(tmp_path / "keys.json")


def subject(account: str, user: str) -> str:
    return f"acct.{account}.{user}.booking.v1.book"


def test_gateway_names_the_caller(senders: Senders) -> None:
    """The gateway's caller is believed; without one, its callers may do everything."""
    gateway = senders(subject("SERVICE", "gateway"))
    assert gateway.caller(CANCEL, OTHER, CANCEL.example) is OTHER
    assert gateway.caller(CANCEL, None, CANCEL.example) is ANYONE


def test_service_that_tells_patients_reads_alone(senders: Senders) -> None:
    """It reads names and contacts of all sites, in its own name, and changes nothing."""
    notify = senders(subject("SERVICE", "notify"))
    assert notify.caller(GET, None, GET.example) is ANYONE
    for operation in (BOOK, CANCEL):
        with pytest.raises(Forbidden):
            notify.caller(operation, None, operation.example)
    with pytest.raises(Forbidden):
        notify.caller(GET, OTHER, GET.example)


def test_client_is_the_caller_of_its_key(senders: Senders) -> None:
    """A client has the sites, names and shares of its key, and the scopes; no scope is needed for slots."""
    client = senders(subject("billing", "billing"))
    expected = Caller(
        id="billing", sites=frozenset({"clinic-1"}), names=True, shares=(Share(id="billing", holds=3),)
    )
    for operation in (BOOK, LIST_SLOTS, GRID, BOOKING_READY):
        assert client.caller(operation, None, operation.example) == expected
    with pytest.raises(Forbidden):
        client.caller(CANCEL, None, CANCEL.example)
    with pytest.raises(Forbidden):
        client.caller(BOOK, OTHER, BOOK.example)


@pytest.mark.parametrize(
    ("account", "user"),
    [
        ("SERVICE", "relay"),
        ("SERVICE", "billing"),
        ("billing", "gateway"),
        ("gateway", "gateway"),
        ("billing", "other"),
        ("other", "billing"),
        ("http-only", "http-only"),
        ("expired", "expired"),
    ],
)
def test_nobody_else_may_do_anything(senders: Senders, account: str, user: str) -> None:
    """Other services, users of another account's name, and keys that are not for NATS are refused."""
    for sent in (None, OTHER):
        with pytest.raises(Forbidden):
            senders(subject(account, user)).caller(GRID, sent, GRID.example)


def test_without_accounts_every_sender_is_believed() -> None:
    """Without accounts the plain subject says nothing about the sender."""
    assert any_sender("booking.v1.book").caller(BOOK, OTHER, BOOK.example) is OTHER


def test_without_a_key_file_there_are_no_clients() -> None:
    """Without API_KEYS_FILE, the gateway alone is served."""
    senders = senders_with_accounts(None)
    assert senders(subject("SERVICE", "gateway")).caller(BOOK, None, BOOK.example) is ANYONE
    with pytest.raises(Forbidden):
        senders(subject("billing", "billing")).caller(BOOK, None, BOOK.example)


def test_wrong_key_file_stops_the_worker(tmp_path: Path) -> None:
    """A file that is no key file is refused by the name of its variable."""
    file = tmp_path / "keys.json"
    file.write_text("{")
    with pytest.raises(Misconfigured, match="API_KEYS_FILE"):
        senders_with_accounts(file)
