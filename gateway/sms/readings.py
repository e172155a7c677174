"""What a text message means, before anything is known about its conversation."""

from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of texts."""

    NUMBER = "number"
    OK = "ok"
    NO = "no"
    NAME = "name"
    DAY = "day"
    MORE = "more"
    LIST = "list"
    DROP = "drop"
    MOVE = "move"
    CHANGE = "change"
    HELP = "help"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Reading:
    """A text that was read.

    CHANGE is about dropping or moving, and not understood further. `number`: of NUMBER, and of DROP and MOVE
    if it was sent. `day`: of DAY, perhaps with a time (`at`); `loose` if it stood in a sentence.
    `name`: of NAME.
    """

    kind: Kind
    number: int | None = None
    day: date | None = None
    at: time | None = None
    loose: bool = False
    name: str | None = None


UNCLEAR = Reading(Kind.UNCLEAR)
