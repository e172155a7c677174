"""Claims: what a booking has of its site."""

import pytest

from shared.contract.commands import SlotRequest
from shared.contract.errors import InvalidRequest
from shared.domain.claim import MOST_CLAIMS, Claims
from shared.domain.grid import Grid

SLOT = "2025-12-05T10:00:00Z"


def claims(grid: int = 15, **more: object) -> Claims:
    request = SlotRequest.model_validate({"slot": SLOT, "patientName": "Ada", **more})
    return Claims.of(request, Grid(grid).span_of(request))


def test_a_claim_is_a_resource_at_an_instant() -> None:
    """Half an hour of a doctor and a room, on a grid of 15 minutes, is four claims of one site."""
    wanted = claims(site="north", resources=["room", "doctor"], durationMinutes=30)
    ten, quarter = 1764928800000, 15 * 60_000
    assert wanted.site == "north"
    assert wanted.keys == (
        f"doctor/{ten}",
        f"doctor/{ten + quarter}",
        f"room/{ten}",
        f"room/{ten + quarter}",
    )
    assert len(wanted.in_site) == 4


def test_without_a_grid_a_booking_claims_its_instant() -> None:
    """Where any instant is a slot by itself, a booking claims one instant of each of its resources."""
    assert len(claims(0, resources=["a", "b", "c"]).keys) == 3


def test_there_is_an_end_to_what_one_booking_claims() -> None:
    """At most 600 claims: more would make one document, and one script in Redis, hold up all others."""
    assert len(claims(1, durationMinutes=MOST_CLAIMS).keys) == MOST_CLAIMS
    for more in ({"durationMinutes": MOST_CLAIMS + 1}, {"durationMinutes": 301, "resources": ["a", "b"]}):
        with pytest.raises(InvalidRequest, match="durationMinutes times resources"):
            claims(1, **more)
