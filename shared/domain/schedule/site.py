"""The schedules of a site, and the slots that they do not offer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from shared.contract.errors import SlotNotOffered
from shared.contract.instants import unix_milliseconds
from shared.domain.grid import MINUTE_MS, SlotRange
from shared.domain.schedule.free_starts import why_not_offered
from shared.domain.schedule.opening_hours import OpeningHours


@dataclass(frozen=True)
class SiteSchedules:
    """The schedules of a site, by resource."""

    by_resource: Mapping[str, OpeningHours] = field(default_factory=dict)

    @cached_property
    def enforced(self) -> bool:
        """Whether the site has an enforced schedule. Then a resource without a schedule is unknown."""
        return any(hours.schedule.enforced for hours in self.by_resource.values())

    def is_too_late(self, resources: Iterable[str], slot: datetime, asked_at: int) -> bool:
        """Return whether a patient asked (Unix ms) after the cut-off of a booking to change it.

        Of several resources, the earliest cut-off counts.
        """
        of_resources = (self.by_resource[name].schedule for name in resources if name in self.by_resource)
        cut_offs = [each.cutOffMinutes for each in of_resources if each.cutOffMinutes is not None]
        return bool(cut_offs) and asked_at > unix_milliseconds(slot) - max(cut_offs) * MINUTE_MS

    def refusal(self, resources: Iterable[str], slot_range: SlotRange, now: int) -> SlotNotOffered | None:
        """Return the refusal of a booking that an enforced schedule does not offer at `now` (Unix ms)."""
        if not self.enforced:
            return None
        slot, minutes = unix_milliseconds(slot_range.slot), slot_range.duration or 0
        for name in resources:
            hours = self.by_resource.get(name)
            if hours is None or hours.schedule.enforced:
                reason = why_not_offered(hours, slot, minutes, now)
                if reason is not None:
                    return SlotNotOffered.because(reason)
        return None


NO_SCHEDULES = SiteSchedules()
"""The schedules of a site that has none, or of a site whose schedules decide nothing."""
