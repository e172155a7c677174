"""Hints: changes of holds, published on core NATS for programs that show them.

A hint is best effort: it may be lost, and no program may rely on it. It contains neither a token nor a name.
"""

from typing import Literal

from .fields import Instant
from .replies import Served


class HoldHint(Served):
    """A change of a hold, as far as it is known: a release knows only the site, a use not the slot.

    A hold that expires has no hint: it ends at `expiresAt`.
    """

    type: Literal["placed", "extended", "released", "used"]
    site: str
    resources: tuple[str, ...] | None = None
    slot: Instant | None = None
    durationMinutes: int | None = None
    expiresAt: Instant | None = None

    def body(self) -> bytes:
        return self.model_dump_json(exclude_none=True).encode()


def hint_subject(site: str) -> str:
    """Return the subject of the hints of a site."""
    return f"hint.v1.{site}.hold"
