"""Compute claims. Two bookings or holds conflict if and only if they share a claim.

A claim is one resource at one cell of the grid, written `<resource>/<Unix ms of the cell>`. MongoDB's unique
index is on claims, and the hold keys in Redis are made of them. Half an hour of a doctor and a room from
09:00 on a grid of 15 minutes has four claims; from 09:05 it touches three cells and has six.
"""

from dataclasses import dataclass
from functools import cached_property

from shared.contract.errors import InvalidRequest
from shared.contract.fields import DAY_MINUTES
from shared.contract.instants import unix_milliseconds
from shared.domain.grid import MINUTE_MS, Place, SlotRange

MOST_CLAIMS = 600


@dataclass(frozen=True)
class Claims:
    """The claims of one booking or hold, all or none of which are taken, ordered by resource and time."""

    site: str
    keys: tuple[str, ...]

    @classmethod
    def of(cls, place: Place, slot_range: SlotRange) -> "Claims":
        """Compute the claims of a place over `slot_range`.

        Raises:
            InvalidRequest: more than `MOST_CLAIMS`. The message names the longest possible duration, or with
                a service the most cells.
        """
        if len(place.resources) * len(slot_range.cells) > MOST_CLAIMS:
            if slot_range.service is not None:
                raise InvalidRequest(
                    "durationMinutes with the buffers of service must touch at most "
                    f"{MOST_CLAIMS // len(place.resources)} cells of {slot_range.slot_minutes} minutes with "
                    "these resources"
                )
            longest = _longest(len(place.resources), slot_range)
            raise InvalidRequest(
                f"durationMinutes must be at most {longest} with these resources: "
                f"no more than {MOST_CLAIMS} cells of {slot_range.slot_minutes} minutes are booked at once"
            )
        return cls(
            place.site, tuple(f"{name}/{cell}" for name in place.resources for cell in slot_range.cells)
        )

    @property
    def resources(self) -> tuple[str, ...]:
        """The names of the resources, each once."""
        return tuple(dict.fromkeys(key.rpartition("/")[0] for key in self.keys))

    @cached_property  # a batch reads it several times
    def in_site(self) -> frozenset[tuple[str, str]]:
        """The (site, claim) pairs, which differ between sites."""
        return frozenset((self.site, key) for key in self.keys)


def _longest(resources: int, slot_range: SlotRange) -> int:
    """Return how many minutes from its slot this number of resources can be booked."""
    end = slot_range.cells[0] + MOST_CLAIMS // resources * slot_range.slot_minutes * MINUTE_MS
    return min((end - unix_milliseconds(slot_range.slot)) // MINUTE_MS, DAY_MINUTES)
