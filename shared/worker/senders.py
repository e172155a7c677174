"""Find the sender of a message: in a deployment with accounts NATS checks it in the subject.

The gateway's user may act for any caller. A direct client is a caller itself: its rights are those of the API
key whose id is the name of its user.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from shared.contract.caller import ANYONE, Caller
from shared.contract.commands import Command
from shared.contract.errors import Forbidden
from shared.contract.operation import Operation
from shared.process.api_keys import ApiKey, parse_keys
from shared.process.nats_access import GATEWAY, NOTIFY, PREFIX, SERVICE
from shared.process.settings import Misconfigured
from shared.process.watched_file import InvalidFile, WatchedFile

ADDRESS = f"{PREFIX}.*.*."
"""The begin of the subjects of a worker in a deployment with accounts."""


class Sender(Protocol):
    """The sender of a message."""

    def caller(self, operation: Operation[Any, Any], sent: Caller | None, command: Command) -> Caller:
        """Return the caller of a command; `sent` is the one that the message names.

        Raises:
            Forbidden: the sender may not do this.
        """


class TrustedSender:
    """The gateway, or any program in a deployment without accounts: it names the caller itself."""

    def caller(self, operation: Operation[Any, Any], sent: Caller | None, command: Command) -> Caller:
        return sent or ANYONE


TRUSTED = TrustedSender()


@dataclass(frozen=True)
class Client:
    """A direct client, which acts for itself only."""

    key: ApiKey
    itself: Caller

    @classmethod
    def of(cls, key: ApiKey) -> "Client":
        """Return the client whose NATS user has the name of a key."""
        return cls(key, key.caller())

    def caller(self, operation: Operation[Any, Any], sent: Caller | None, command: Command) -> Caller:
        if sent is not None:
            raise Forbidden("The gateway alone may send a caller")
        if self.key.has_expired(datetime.now(UTC)):
            raise Forbidden
        for scope in operation.http.scopes_of(command) if operation.http else ():
            if scope not in self.key.scopes:
                raise Forbidden(f"The key does not have the scope {scope}")
        return self.itself


class Unknown:
    """A user without a key: it was revoked, or it never was a client."""

    def caller(self, operation: Operation[Any, Any], sent: Caller | None, command: Command) -> Caller:
        raise Forbidden


class Reader:
    """The service that sends messages to patients: it reads names and contacts, and changes nothing."""

    def caller(self, operation: Operation[Any, Any], sent: Caller | None, command: Command) -> Caller:
        if sent is not None or not operation.reads:
            raise Forbidden
        return ANYONE


_OF_SERVICES: dict[str, Sender] = {GATEWAY: TRUSTED, NOTIFY: Reader()}
UNKNOWN = Unknown()
Senders = Callable[[str], Sender]
"""Returns the sender of a message by its subject."""


def any_sender(_subject: str) -> Sender:
    """Trust every sender: NATS has no accounts."""
    return TRUSTED


def senders_with_accounts(keys_file: Path | None) -> Senders:
    """Return how a worker finds senders in a deployment with accounts.

    Args:
        keys_file: the API keys; those with `nats` are the direct clients. None: there are none.

    Raises:
        Misconfigured: the file is wrong.
    """
    try:
        watched = WatchedFile(keys_file, _clients) if keys_file else None
    except InvalidFile as error:
        raise Misconfigured(f"API_KEYS_FILE: {error}") from None

    def sender_of(subject: str) -> Sender:
        account, user = _sender_in(subject)
        if account == SERVICE:
            return _OF_SERVICES.get(user, UNKNOWN)
        clients = watched.content if watched else {}
        return clients.get(user, UNKNOWN) if account == user else UNKNOWN

    return sender_of


def _clients(data: bytes) -> Mapping[str, Client]:
    return {key.id: Client.of(key) for key in parse_keys(data) if key.nats}


@lru_cache(maxsize=1024)
def _sender_in(subject: str) -> tuple[str, str]:
    """Return the account and the user in the subject of a message."""
    _, account, user, _ = subject.split(".", 3)
    return account, user
