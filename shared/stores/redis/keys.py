"""The keys of Redis: for each claim one of its hold, and one of the intents to book it."""

from dataclasses import dataclass

from shared.domain.claim import Claims


@dataclass(frozen=True)
class Holder:
    """Whose a hold is: known by its `token` ('' for none), or by the digest of the patient's name."""

    token: str
    digest: str


def keys_of(claims: Claims) -> list[str]:
    """The KEYS of every script: a hold key a claim, then an intents key a claim.

    All keys of a site have one hash tag, so that a cluster keeps them together.
    """
    return [f"{kind}:{{{claims.site}}}:{claim}" for kind in ("hold", "intents") for claim in claims.keys]
