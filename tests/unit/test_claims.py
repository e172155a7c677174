"""Claims: the resources and cells that a booking occupies."""

import re
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.commands import SlotRequest
from shared.contract.errors import InvalidRequest
from shared.domain.claim import MOST_CLAIMS, Claims
from shared.domain.grid import Grid

SLOT = "2025-12-05T10:00:00Z"


def claims(grid: int = 15, **more: object) -> Claims:
    request = SlotRequest.model_validate({"slot": SLOT, "patientName": "Ada", **more})
    return Claims.of(request, Grid(grid).slot_range(request))


def test_claim_is_a_resource_at_a_cell() -> None:
    """Half an hour of a doctor and a room, on a grid of 15 minutes, makes four claims in one site."""
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


def test_booking_without_a_grid_claims_its_instant() -> None:
    """With SLOT_MINUTES=0 a booking claims one instant of each of its resources."""
    assert len(claims(0, resources=["a", "b", "c"]).keys) == 3


def test_booking_has_at_most_600_claims() -> None:
    """With more claims, one document or Redis script would delay all other requests."""
    assert len(claims(1, durationMinutes=MOST_CLAIMS).keys) == MOST_CLAIMS
    for more in ({"durationMinutes": MOST_CLAIMS + 1}, {"durationMinutes": 301, "resources": ["a", "b"]}):
        with pytest.raises(InvalidRequest, match="durationMinutes"):
            claims(1, **more)


@given(
    grid=st.sampled_from([1, 2, 3, 5]),
    past_ms=st.integers(0, 10 * 60_000),
    resources=st.integers(1, 8),
)
def test_refusal_of_too_many_claims_names_the_longest_duration(
    grid: int, past_ms: int, resources: int
) -> None:
    """The named duration is possible, and one minute more is not."""
    names = [f"r{number}" for number in range(resources)]
    slot = (datetime.fromisoformat(SLOT) + timedelta(milliseconds=past_ms)).isoformat()
    more = {"slot": slot, "resources": names}
    try:
        claims(grid, durationMinutes=1440, **more)
    except InvalidRequest as refused:
        (longest,) = re.findall(r"durationMinutes must be at most (\d+) ", str(refused))
        claims(grid, durationMinutes=int(longest), **more)
        with pytest.raises(InvalidRequest, match=f"at most {longest} "):
            claims(grid, durationMinutes=int(longest) + 1, **more)
    else:
        assert 1440 / grid * resources <= MOST_CLAIMS
