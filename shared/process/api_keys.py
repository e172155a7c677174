"""API keys: the file that has their digests, and their tokens.

A token is `sk_<id>_<secret>`, `pk_<id>_<secret>` for a publishable key, or `ck_<id>_<secret>` for a calendar;
the secret has 256 random bits.
The file has the SHA-256 of the token. A slow hash would add nothing: 256 random bits cannot be guessed.
"""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    ValidationError,
    model_validator,
)

from ..contract.caller import Caller, Cap, Scope, Share
from ..contract.fields import Instant, Resource, Site
from .watched_file import InvalidFile, replace_file

SECRET_BYTES = 32
MOST_SECRETS = 4
Kind = Literal["secret", "publishable", "calendar"]
PREFIXES: dict[Kind, str] = {"secret": "sk", "publishable": "pk", "calendar": "ck"}
PUBLISHABLE_SCOPES = frozenset({Scope.BOOK, Scope.HOLD})
CALENDAR_SCOPES = frozenset({Scope.READ})
JWT_PREFIX = "jwt-"
"""The begin of the ids of callers with a JWT. Histories show ids of callers: no key may have such an id."""
RESERVED_IDS = frozenset({"anyone", "nobody", "patient"})


def _in_order(values: str | Iterable[str]) -> str | list[str]:
    return values if isinstance(values, str) else sorted(values)


Scopes = Annotated[frozenset[Scope], PlainSerializer(_in_order)]
Sites = Annotated[
    Annotated[Literal["all"], Tag("text")] | Annotated[frozenset[Site], Field(min_length=1), Tag("list")],
    Discriminator(lambda value: "text" if isinstance(value, str) else "list"),  # errors of one alone
    PlainSerializer(_in_order),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class SecretDigest(_Strict):
    """The digest of a token; the old one of a rotation is valid `until` the end of the overlap."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    until: Instant | None = None


class Limits(_Strict):
    """The limits of a key: requests a minute (`rate`), live `holds`, `bookings` a day. None: no limit."""

    rate: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    holds: Cap | None = None
    bookings: Cap | None = None


class ApiKey(_Strict):
    """A key.

    `sites`: the sites it may use, or `all`. `origins`: the web pages that may use a publishable key.
    `resource`: of a calendar key, which opens the calendar of that resource and nothing else.
    `nats`: whether the id is also the name of a NATS user, who needs no secret here.
    """

    id: Annotated[str, Field(pattern="^[a-z0-9-]{4,32}$")]
    name: Annotated[str, Field(min_length=1, max_length=64)]
    kind: Kind = "secret"
    secrets: Annotated[tuple[SecretDigest, ...], Field(max_length=MOST_SECRETS)] = ()
    scopes: Scopes
    sites: Sites
    resource: Resource | None = None
    limits: Limits = Limits()
    origins: tuple[Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+$")], ...] = ()
    created: Instant
    expires: Instant | None = None
    nats: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.kind == "publishable":
            if not self.scopes <= PUBLISHABLE_SCOPES:
                raise ValueError("scopes of a publishable key are book and hold alone")
            if self.limits.holds is not None or self.limits.bookings is not None:
                raise ValueError(
                    "limits of a publishable key have no holds and bookings: all patients share it"
                )
            if self.nats:
                raise ValueError("nats is not for a publishable key: it is no secret")
        elif self.origins:
            raise ValueError("origins belong to a publishable key")
        if self.kind == "calendar":
            self._check_calendar()
        elif self.resource is not None:
            raise ValueError("resource belongs to a calendar key")
        if self.id in RESERVED_IDS or self.id.startswith(JWT_PREFIX):
            raise ValueError("id is reserved for callers without a key of this file")
        if not self.secrets and not self.nats:
            raise ValueError("secrets are missing")
        return self

    def _check_calendar(self) -> None:
        if self.scopes != CALENDAR_SCOPES:
            raise ValueError("scopes of a calendar key are read alone")
        if self.sites == "all" or len(self.sites) != 1 or self.resource is None:
            raise ValueError("sites of a calendar key are one site, and it needs a resource")
        if self.limits != Limits():
            raise ValueError("limits are not for a calendar key: its requests count against their network")
        if self.nats:
            raise ValueError("nats is not for a calendar key")

    @property
    def calendar(self) -> str | None:
        """The path of the calendar that a calendar key opens; None for other keys."""
        return None if self.resource is None else f"/api/calendars/{''.join(self.sites)}/{self.resource}.ics"

    def has_expired(self, at: datetime) -> bool:
        """Return whether the key is not valid any more."""
        return self.expires is not None and at >= self.expires

    def caller(self) -> Caller:
        """Return the caller with this key."""
        capped = self.limits.holds is not None or self.limits.bookings is not None
        share = Share(id=self.id, holds=self.limits.holds, bookings=self.limits.bookings)
        return Caller(
            id=self.id,
            sites=None if self.sites == "all" else self.sites,
            names=Scope.NAMES in self.scopes,
            shares=(share,) if capped else (),
        )


class KeyFile(_Strict):
    """The content of a key file."""

    keys: tuple[ApiKey, ...] = ()

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        if len({key.id for key in self.keys}) < len(self.keys):
            raise ValueError("two keys have the same id")
        return self


def new_token(key_id: str, kind: Kind) -> tuple[str, str]:
    """Return a token with a new random secret, and the digest that the file has of it."""
    secret = urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode()
    token = f"{PREFIXES[kind]}_{key_id}_{secret}"
    return token, sha256(token.encode()).hexdigest()


def parse_keys(data: bytes) -> tuple[ApiKey, ...]:
    """Return the keys in the content of a key file.

    Raises:
        InvalidFile: the sentence names the field and has no value.
    """
    try:
        return KeyFile.model_validate_json(data).keys
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False)[0]
    place, sentence = first["loc"], first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":  # its name may be a secret that stands at the wrong place
        place, sentence = place[:-1], "has an unknown field"
    if first["type"] == "json_invalid":
        sentence = "is not valid JSON"
    raise InvalidFile(f"{'.'.join(map(str, place)) or 'the file'}: {sentence}")


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Return the keys of a file; none if it does not exist.

    Raises:
        InvalidFile: as `parse_keys`, or the file cannot be read.
    """
    try:
        return parse_keys(path.read_bytes())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InvalidFile(error.strerror or "cannot be read") from None


def write_keys(path: Path, keys: Iterable[ApiKey]) -> None:
    """Replace a key file at once.

    Raises:
        OSError
    """
    replace_file(path, KeyFile(keys=tuple(keys)).model_dump_json(indent=2, exclude_none=True))
