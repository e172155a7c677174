"""The keys of Redis: of holds, of intents, of what a token holds, of what of a resource is held."""

from dataclasses import dataclass

from shared.domain.claim import Claims

OF_CLAIMS = ("hold", "intents", "intent", "token", "held", "held_ends", "held_resources")
"""The kinds of keys that name cells of the grid, or hold such names: a change of the grid deletes them."""


@dataclass(frozen=True)
class Holder:
    """Whose a hold is: known by its `token` ('' for none), or by the digest of the patient's name."""

    token: str
    digest: str


def keys_of(claims: Claims) -> list[str]:
    """The keys of holds on claims, one a claim.

    All keys of a site have one hash tag, so that a cluster keeps them together.
    """
    prefix = f"hold:{{{claims.site}}}:"
    return [prefix + claim for claim in claims.keys]


def intents_key(site: str) -> str:
    """The batches of bookings that are being made in a site, by when their intents end."""
    return f"intents:{{{site}}}"


def intent_key(site: str, batch: str) -> str:
    """The claims of a batch of bookings that are being made."""
    return f"intent:{{{site}}}:{batch}"


def token_key(site: str, token: str) -> str:
    """The record of what a token holds."""
    return f"token:{{{site}}}:{token}"


def released_key(site: str, token: str) -> str:
    """When the caller of a token's latest release asked."""
    return f"released:{{{site}}}:{token}"


def held_keys(site: str, resource: str) -> list[str]:
    """The moments at which a resource is held, and when each of these holds ends."""
    return [f"{kind}:{{{site}}}:{resource}" for kind in ("held", "held_ends")]


def held_resources_key(site: str) -> str:
    """The resources of a site that have holds."""
    return f"held_resources:{{{site}}}"
