"""The caller: the authenticated identity behind a command.

The gateway sends it with a command that it forwards. A worker believes it only in a message of the gateway.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from .commands import DEFAULT_SITE
from .errors import Forbidden, InvalidRequest
from .fields import Site


class Scope(StrEnum):
    """A permission of a key."""

    BOOK = "book"
    HOLD = "hold"
    CANCEL = "cancel"
    MOVE = "move"
    READ = "read"
    NAMES = "names"
    SCHEDULES = "schedules"
    WEBHOOKS = "webhooks"
    EVENTS = "events"
    ADMIN = "admin"


CallerId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ShareId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_:-]{1,64}$")]
Cap = Annotated[int, Field(ge=0, le=1_000_000)]
PATIENT_ID = "patient"
"""The id of the holder of a patient's link."""
MOST_SHARES = 3
"""How many shares a caller has (address, phone number, key): Redis counts each held or booked cell in all."""


class Share(BaseModel):
    """A client's part of a site's capacity: how much its requests together may use.

    `id`: an HMAC of the client's address or phone number, or a key's id. `holds`: the most cells of the grid,
    counted for each resource, that its live holds have. `bookings`: the most that it books in 24 hours, in
    the same unit. None: no cap. A hold or booking of one resource without a duration counts 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: ShareId
    holds: Cap | None = None
    bookings: Cap | None = None


class Caller(BaseModel):
    """A caller.

    `id`: the id of its key, which the history of a booking shows. `sites`: the sites it may use; None: all.
    `names`: whether it reads patients' names. `shares`: the shares that its holds and bookings count in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: CallerId
    sites: frozenset[Site] | None = None
    names: bool = False
    shares: Annotated[tuple[Share, ...], Field(max_length=MOST_SHARES)] = ()

    @property
    def is_patient(self) -> bool:
        """Whether the caller has a patient's link."""
        return self.id == PATIENT_ID

    @property
    def actor(self) -> str | None:
        """The id that the history of a booking records; None in a deployment without keys."""
        return None if self is ANYONE else self.id

    def may_use(self, site: str) -> bool:
        """Return whether the caller may use a site."""
        return self.sites is None or site in self.sites

    def check_site_of(self, command: Any) -> None:
        """Refuse a command in a site that the caller may not use.

        Raises:
            Forbidden
        """
        site = getattr(command, "site", None)
        if site is not None and not self.may_use(site):
            raise other_site(site)


def other_site(site: str) -> Forbidden:
    """Return the refusal of a site; it names the default site, which many callers did not mean."""
    return Forbidden(f"The key does not permit {f'the site {site}' if site == DEFAULT_SITE else 'this site'}")


_MOST_REMEMBERED = 1024
_remembered: dict[str, tuple[dict[str, Any], Caller]] = {}


def remember_caller(sent: Any) -> Any:
    """Return the same caller for the same decoded JSON; other values as they are, to be validated.

    A key sends many commands, and to validate its caller costs as much as the rest of a command.
    """
    if not isinstance(sent, dict) or not isinstance(sent.get("id"), str):
        return sent
    known = _remembered.get(sent["id"])
    if known is not None and known[0] == sent:
        return known[1]
    try:
        caller = Caller.model_validate(sent)
    except ValueError:
        return sent
    if len(_remembered) >= _MOST_REMEMBERED:
        _remembered.clear()
    _remembered[sent["id"]] = sent, caller
    return caller


ANYONE = Caller(id="anyone", names=True)
"""The caller in a deployment without keys. It may do everything."""


def read_caller(text: str | None) -> Caller:
    """Return the caller in the header `Caller`; `ANYONE` without the header.

    Raises:
        InvalidRequest: the header is malformed.
    """
    if text is None:
        return ANYONE
    try:
        return Caller.model_validate(from_json(text))
    except ValueError:
        raise InvalidRequest("Caller must be the JSON of a caller") from None
