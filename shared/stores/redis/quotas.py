"""Write the caps of a caller's shares as the scripts read them: share, cap, share, cap …

Both caps count claims, not commands: a hold of eight resources for a morning keeps other patients from 600
claims, and a cap on the number of holds would let one client keep that many times its cap.
"""

from collections.abc import Callable, Sequence

from shared.contract.caller import Share


def quota_of_holds(shares: Sequence[Share]) -> str:
    """Return the caps on held claims; empty if no share has one."""
    return " ".join(f"{share.id} {share.holds}" for share in shares if share.holds is not None)


def quota_of_bookings(shares: Sequence[Share], claims: int, name: Callable[[], str]) -> str:
    """Return a booking's name, how many claims count, and the caps; empty if no claim or no share counts.

    `name`: the same in all attempts of a booking or move, and in no other.
    """
    if not shares or claims <= 0:
        return ""
    caps = " ".join(f"{share.id} {share.bookings}" for share in shares if share.bookings is not None)
    return caps and f"{name()} {claims} {caps}"
