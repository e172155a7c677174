"""The access file of a NATS user, which `python -m deploy.nats_access` writes: its name and its private key.

In a deployment with accounts every subject of a command begins with the account and the user of its sender,
which the NATS server checks: `acct.<account>.<user>.booking.v1.book`.
"""

from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

PREFIX = "acct"
SERVICE = "SERVICE"
"""The account of the services. Ids of clients, which name the other accounts, are in lower case."""
GATEWAY = "gateway"
"""The user of the service that may act for others: it names the caller of each command itself."""
NOTIFY = "notify"
"""The user of the service that sends messages to patients: it reads everything, and changes nothing."""

EVENTS_API = "events"
"""The prefix of the API of JetStream for a client in an account of its own."""

Token = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")]


class NatsAccess(BaseModel):
    """A user of NATS. The `seed` is its private key."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    account: Token
    user: Token
    seed: SecretStr

    @property
    def subject_prefix(self) -> str:
        """What precedes the subject of a command that this user sends."""
        return f"{PREFIX}.{self.account}.{self.user}."

    @property
    def inbox_prefix(self) -> str:
        """What precedes the subjects of replies to this user; no other user may subscribe there."""
        return inbox_prefix(self.user)

    @property
    def connect(self) -> dict[str, Any]:
        """The arguments for `nats.aio.client.Client.connect`."""
        return {"nkeys_seed_str": self.seed.get_secret_value(), "inbox_prefix": self.inbox_prefix}


def inbox_prefix(user: str) -> str:
    """Return the first token of the inboxes of a user."""
    return f"_INBOX_{user}"


def read_access(path: str | PathLike[str]) -> NatsAccess:
    """Read an access file.

    Raises:
        ValueError: it cannot be used; the sentence does not contain its content.
    """
    if find_spec("nkeys") is None:
        raise ValueError("needs the package nkeys: pip install 'slotkeeper[access]'")
    try:
        return NatsAccess.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except ValidationError:
        raise ValueError("must be a file of python -m deploy.nats_access") from None
