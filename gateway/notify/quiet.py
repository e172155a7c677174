"""Quiet hours: a time of the day in which no text message is sent."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo


@dataclass(frozen=True)
class QuietHours:
    """From `begin` to before `end` on a wall clock; over midnight if `end` is earlier. Equal: never."""

    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> "QuietHours":
        """Read `21:00-08:00`.

        Raises:
            ValueError
        """
        begin, _, end = text.partition("-")
        return cls(time.fromisoformat(begin.strip()), time.fromisoformat(end.strip()))

    def end_after(self, now: datetime, zone: tzinfo) -> datetime:
        """Return when the quiet hours at an instant end in a zone; the instant itself if there are none."""
        local = now.astimezone(zone)
        clock = local.time()
        if self.begin <= self.end:
            is_quiet = self.begin <= clock < self.end
        else:
            is_quiet = clock >= self.begin or clock < self.end
        if not is_quiet:
            return now
        day = local.date() if clock < self.end else local.date() + timedelta(days=1)
        return datetime.combine(day, self.end, zone).astimezone(UTC)
