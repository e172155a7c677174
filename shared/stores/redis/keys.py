"""Name the keys of Redis."""

from dataclasses import dataclass

from shared.domain.claim import Claims

OF_CLAIMS = ("hold", "intents", "intent", "token", "held", "held_ends", "held_resources", "share_holds")
"""The kinds of keys whose names or values are cells of the grid. A change of the grid deletes them."""


@dataclass(frozen=True)
class Holder:
    """The owner of a hold: identified by its `token` ('' for none) or by the digest of the patient's name."""

    token: str
    digest: str


def keys_of(claims: Claims) -> list[str]:
    """Return the hold keys of claims, one per claim.

    All keys of a site have one hash tag, so that a cluster keeps them together.
    """
    prefix = f"hold:{{{claims.site}}}:"
    return [prefix + claim for claim in claims.keys]


def intents_key(site: str) -> str:
    """Return the key of the batches of bookings in progress in a site, scored by the end of their intents."""
    return f"intents:{{{site}}}"


def intent_key(site: str, batch: str) -> str:
    """Return the key of the claims of a batch of bookings in progress."""
    return f"intent:{{{site}}}:{batch}"


def token_key(site: str, token: str) -> str:
    """Return the key of the claims that a token holds."""
    return f"token:{{{site}}}:{token}"


def released_key(site: str, token: str) -> str:
    """Return the key of the moment at which the caller of a token's latest release asked."""
    return f"released:{{{site}}}:{token}"


def held_keys(site: str, resource: str) -> list[str]:
    """Return the keys of the moments at which a resource is held, and of the ends of these holds."""
    return [f"{kind}:{{{site}}}:{resource}" for kind in ("held", "held_ends")]


def held_resources_key(site: str) -> str:
    """Return the key of the resources of a site that have holds."""
    return f"held_resources:{{{site}}}"
