"""The shares of a caller: what its holds and bookings count in."""

from shared.contract.caller import Share
from shared.process.api_keys import ApiKey


def shares_of(key: ApiKey) -> tuple[Share, ...]:
    """Return the shares of a caller with this key."""
    if key.limits.holds is None and key.limits.bookings is None:
        return ()
    return (Share(id=key.id, holds=key.limits.holds, bookings=key.limits.bookings),)
