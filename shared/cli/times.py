"""Times as people say and read them: in the zone of this machine, with the offset shown."""

from datetime import date, datetime, time, timedelta

from typer import BadParameter

from ..contract.instants import format_instant, parse_instant

_LOCAL = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")
_EXAMPLES = "for example '2030-01-07 09:00' (here), or 2030-01-07T09:00Z"


def read_slot(text: str) -> datetime:
    """A time that was said, with its offset or in this machine's zone.

    Raises:
        BadParameter: it is none, or there is none or more than one such time that day here.
    """
    text = text.strip().replace(" ", "T", 1)
    try:
        return parse_instant(text)
    except ValueError:
        local = _read_local(text)
    first, second = local.astimezone(), local.replace(fold=1).astimezone()
    if first.utcoffset() == second.utcoffset():
        return first
    how_often = "twice" if first.replace(tzinfo=None) == local else "never"
    raise BadParameter(
        f"a clock here shows that time {how_often} that day: say it with an offset, or in UTC (Z)"
    )


def _read_local(text: str) -> datetime:
    for form in _LOCAL:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise BadParameter(f"must be a time, {_EXAMPLES}")


def today() -> date:
    """This day, here."""
    return datetime.now().astimezone().date()


def read_day(text: str) -> date:
    """A day that was said.

    Raises:
        BadParameter: it is none.
    """
    if text in {"today", "tomorrow"}:
        return today() + timedelta(days=text == "tomorrow")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadParameter("must be today, tomorrow, or a day such as 2030-01-07") from None


def window(day: date, days: int) -> dict[str, str]:
    """From the beginning of a day here to that of another, `days` later, as the API has it."""
    try:
        ends = day + timedelta(days)
        midnights = (datetime.combine(each, time()).astimezone() for each in (day, ends))
        return dict(zip(("from", "to"), map(format_instant, midnights), strict=True))
    except OverflowError:
        raise BadParameter("the day is beyond the calendar") from None


def shown(instant: datetime, day: date | None = None) -> str:
    """A time in this machine's zone, such as `2030-01-07 10:00 +01:00`; on that `day`, without the date."""
    try:
        local = instant.astimezone()
    except OverflowError:  # the first or the last day of the calendar
        return format_instant(instant)
    finest = "milliseconds" if local.second or local.microsecond else "minutes"
    clock = local.time().isoformat(finest)
    offset = local.isoformat()[len(local.replace(tzinfo=None).isoformat()) :]
    return f"{clock} {offset}" if local.date() == day else f"{local.date()} {clock} {offset}"
