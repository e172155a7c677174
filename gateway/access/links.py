"""Links of patients: a secret with which its holder reads, moves and cancels one appointment.

A secret is an HMAC of the appointment's id, so the gateways store nothing for it. They share the keys in
`LINK_KEYS_FILE`. The first key makes the secrets; the other keys verify older ones, until they are removed.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.process.watched_file import InvalidFile, WatchedFile, replace_file

PREFIX = "ml_"
SECRET_BYTES = 32


class LinkKey(BaseModel):
    """A key of links. `secret`: 32 random bytes, in Base64 for URLs without padding."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9]{1,16}$")]
    secret: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]


LinkKeys = Annotated[list[LinkKey], Field(min_length=1)]
_KEYS = TypeAdapter[list[LinkKey]](LinkKeys)


def new_link_key() -> LinkKey:
    """Make a random key."""
    return LinkKey(id=token_hex(4), secret=_encode(token_bytes(SECRET_BYTES)))


def read_link_keys(path: Path) -> list[LinkKey]:
    """Return the keys in `LINK_KEYS_FILE`; none if it does not exist.

    Raises:
        InvalidFile
    """
    return _validated(path.read_bytes()) if path.exists() else []


def write_link_keys(path: Path, keys: list[LinkKey]) -> None:
    """Replace `LINK_KEYS_FILE`; the first key makes the secrets.

    Raises:
        OSError
    """
    replace_file(path, _KEYS.dump_json(keys, indent=2).decode())


class Links:
    """Makes and verifies the secrets of appointments.

    Raises:
        InvalidFile: the file is wrong.
    """

    def __init__(self, path: Path) -> None:
        self._keys = WatchedFile(path, _parse)

    @property
    def oldest_key(self) -> bytes:
        """The key that stays longest the same, for other HMACs of the gateways."""
        return list(self._keys.content.values())[-1]

    def secret_of(self, appointment_id: str) -> str:
        """Return the secret of an appointment: `ml_<key's id>_<43 characters>`."""
        key_id, key = next(iter(self._keys.content.items()))
        return f"{PREFIX}{key_id}_{_encode(_sign(key, appointment_id))}"

    def verify(self, secret: str, appointment_id: str) -> bool:
        """Return whether a secret is that of an appointment."""
        key_id, _, signature = secret.removeprefix(PREFIX).partition("_")
        key = self._keys.content.get(key_id)
        expected = _encode(_sign(key or b"", appointment_id.lower()))
        return hmac.compare_digest(signature.encode(), expected.encode()) and key is not None


def _parse(content: bytes) -> Mapping[str, bytes]:
    return {key.id: urlsafe_b64decode(key.secret + "=") for key in _validated(content)}


def _validated(content: bytes) -> list[LinkKey]:
    try:
        return _KEYS.validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidFile(f"{place or 'the file'} is wrong: it needs a list of id and secret") from None


def _sign(key: bytes, appointment_id: str) -> bytes:
    return hmac.digest(key, b"appointment " + appointment_id.encode(), sha256)


def _encode(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
