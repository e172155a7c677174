"""Parse and format times as people write them: in this machine's zone, with the offset shown."""

import re
from datetime import date, datetime, time, timedelta

from typer import BadParameter

from ..contract.instants import format_instant, parse_instant

_SLOT = re.compile(r"(?P<day>\S+?)(?:T|\s+)(?P<clock>[0-9]{1,2}:[0-9]{2}[0-9:.]*)\s*(?P<offset>\S*)")
_LOCAL = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f")
_DAYS = ("%Y-%m-%d", "%d.%m.%Y")
_EXAMPLES = "for example '2030-01-07 09:00' or 'tomorrow 09:00' (here), or 2030-01-07T09:00Z"
_SECOND = timedelta(seconds=1)
BEYOND = "the day is beyond the calendar"


def read_slot(text: str) -> datetime:
    """Parse a day (as `read_day`) and a clock time, with an offset or in this machine's zone.

    Raises:
        BadParameter: `text` is no time, or the clocks here show that time never or twice that day.
    """
    match = _SLOT.fullmatch(text.strip())
    if match is None:
        raise BadParameter(f"must be a time, {_EXAMPLES}")
    day, clock = _read_day(match["day"], f"must be a time, {_EXAMPLES}"), match["clock"]
    written = f"{day}T{clock}" if clock[1] != ":" else f"{day}T0{clock}"
    if match["offset"]:
        try:
            return parse_instant(written + match["offset"].upper())
        except ValueError as error:
            raise BadParameter(str(error)) from None
    return _in_this_zone(_read_local(written))


def _read_local(written: str) -> datetime:
    for form in _LOCAL:
        try:
            local = datetime.strptime(written, form)
        except ValueError:
            continue
        if local.microsecond % 1000:
            raise BadParameter("must not be finer than a millisecond")
        return local
    raise BadParameter(f"must be a time, {_EXAMPLES}")


def _in_this_zone(local: datetime) -> datetime:
    try:
        first, second = _candidates(local)
    except (OverflowError, ValueError):
        raise BadParameter(BEYOND) from None
    if first == second:
        return first
    how_often = "twice" if _shows(first, local) else "never"
    raise BadParameter(
        f"a clock here shows that time {how_often} that day: say it with an offset, or in UTC (Z)"
    )


def _candidates(local: datetime) -> tuple[datetime, datetime]:
    """Return the instants that a local time can mean; in a gap, one from before and one from after it."""
    return local.astimezone(), local.replace(fold=1).astimezone()


def _shows(instant: datetime, local: datetime) -> bool:
    return instant.replace(tzinfo=None) == local


def today() -> date:
    """Return the current day in this machine's zone."""
    return datetime.now().astimezone().date()


def read_day(text: str) -> date:
    """Parse today, tomorrow, `2030-01-07` or `07.01.2030`.

    Raises:
        BadParameter: `text` is no day.
    """
    return _read_day(text.strip(), "must be today, tomorrow, or a day such as 2030-01-07 or 07.01.2030")


def _read_day(text: str, otherwise: str) -> date:
    if text.lower() in {"today", "tomorrow"}:
        return today() + timedelta(days=text.lower() == "tomorrow")
    for form in _DAYS:
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    raise BadParameter(otherwise)


def window(day: date, days: int) -> dict[str, str]:
    """Return the window of `days` local days that begins with `day`, as the API takes it.

    Raises:
        BadParameter: this zone's calendar skips `day`, or the window ends beyond the calendar.
    """
    try:
        begins, ends = _begin(day), _end(day + timedelta(days - 1))
        bounds = {"from": format_instant(begins), "to": format_instant(ends)}
    except (OverflowError, ValueError):
        raise BadParameter(BEYOND) from None
    if begins.date() != day:
        raise BadParameter(f"there is no {day} here: the calendar of this machine's zone skips that day")
    return bounds


def _begin(day: date) -> datetime:
    """Return the first instant at which local clocks show `day`, or later if the calendar skips that day."""
    midnight = datetime.combine(day, time())
    first, second = _candidates(midnight)
    if _shows(first, midnight):
        return first
    # The clocks skip midnight: find the second at which they do.
    before, after = sorted((first, second))
    while after - before > _SECOND:
        middle = (before + (after - before) // 2).replace(microsecond=0).astimezone()
        before, after = (middle, after) if middle.date() < day else (before, middle)
    return after


def _end(day: date) -> datetime:
    """Return the instant after the last one at which local clocks show `day`."""
    begins = _begin(day + timedelta(1))
    _, again = _candidates(datetime.combine(day + timedelta(1), time()))
    # Clocks that go back just after midnight show `day` once more.
    repeated = again > begins and (again - _SECOND).astimezone().date() == day
    return again if repeated else begins


def format_time(instant: datetime, day: date | None = None) -> str:
    """Format a time in this machine's zone, as `2030-01-07 10:00 +01:00`; on that `day`, without the date."""
    try:
        local = instant.astimezone()
    except OverflowError:  # the first or the last day of the calendar
        return format_instant(instant)
    finest = "milliseconds" if local.second or local.microsecond else "minutes"
    clock = local.time().isoformat(finest)
    offset = local.isoformat()[len(local.replace(tzinfo=None).isoformat()) :]
    return f"{clock} {offset}" if local.date() == day else f"{local.date()} {clock} {offset}"
