"""Remove safeguards of the caps on shares."""

from uuid import uuid4

from shared.domain.claim import Claims
from shared.domain.digests import Digests
from tests.sabotage.scripts import change_script


def no_cap_of_holds() -> None:
    """Let a share hold any number of claims."""
    change_script("place_holds", "elseif exceeds then", "elseif false then")


def holds_stay_counted() -> None:
    """Count released, withdrawn and used-up holds until they would have expired."""
    for name in ("release_holds", "use_up_holds", "withdraw_holds"):
        change_script(name, "'share_holds:' .. tag .. ':' .. share, unpack(claims)", "'x:' .. tag, 'x'")


def extension_is_not_counted() -> None:
    """Count a hold only until the end that it has before it is granted."""
    change_script("grant_holds", "    count_holds(counted, latest, now)\n", "")


def no_cap_of_bookings() -> None:
    """Let a share book any number of claims a day."""
    change_script("register_intents", "return SHARE_USED_UP", "break")


def refused_bookings_stay_counted() -> None:
    """Keep the counts of refused bookings."""
    change_script("clear_intents", "== tonumber(at)", "== -1")


def every_refusal_takes_back() -> None:
    """Take back the count of a booking with each of its refused attempts."""
    change_script("register_intents", "redis.call('ZINCRBY', key, 1, members[1])", "counted = true")
    change_script("register_intents", "    return state\n", "    return state + COUNTED\n")
    change_script("clear_intents", "== tonumber(at)", "> 0")


def move_names_no_booking() -> None:
    """Count moves of different bookings with the same id and target as attempts of one move."""
    with_booking = Digests.of_key

    def of_key(digests: Digests, key: str, claims: Claims) -> str:
        return with_booking(digests, key.rpartition("/")[2], claims)

    Digests.of_key = of_key  # type: ignore[assignment,method-assign]


def attempts_count_apart() -> None:
    """Count each attempt of a booking."""
    Digests.of_key = lambda _digests, _key, _claims: uuid4().hex  # type: ignore[assignment,method-assign]
