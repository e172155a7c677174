"""Calls of scripts: what one script gets of one booking or hold, and how much one script is given."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

# Redis does nothing else while a script runs. A script is called with so much, which takes it 2 or 3 ms, or
# with one call that weighs more: a hold is placed or granted at once, and the largest takes 6 ms.
MOST_WEIGHT = 400
CALL_WEIGHT = 4
"""What a call weighs by itself; each of its keys weighs 1."""
# How many claims one script frees before it leaves the rest for a later run. Those of a token go together.
MOST_FREED = 100
LATER = -1
"""A script's answer to a call that it left for a later run, as in `holds.lua`."""


ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class Call:
    """What a script gets of one booking, batch or hold: its KEYS, and its ARGV behind their number."""

    site: str
    keys: Sequence[str]
    args: Sequence[str | int]

    @property
    def weight(self) -> int:
        """How much it has Redis do."""
        return CALL_WEIGHT + len(self.keys)


def in_parts(
    items: Sequence[ItemT], weight_of: Callable[[ItemT], int], most: int
) -> Iterator[Sequence[ItemT]]:
    """Split items into parts that weigh `most`, in their order; one that weighs more is a part alone."""
    start = weight = 0
    for end, item in enumerate(items):
        added = weight_of(item)
        if weight and weight + added > most:
            yield items[start:end]
            start, weight = end, 0
        weight += added
    if items:
        yield items[start:]


def calls_in_parts(calls: Sequence[Call]) -> Iterator[Sequence[Call]]:
    """Split calls into parts that one run of a script is called with."""
    return in_parts(calls, lambda call: call.weight, MOST_WEIGHT)


def merged(calls: Sequence[Call], common: Sequence[str | int]) -> list[str | int]:
    """The arguments of one command: how many KEYS, the KEYS, the ARGV."""
    keys = [key for call in calls for key in call.keys]
    arguments: list[str | int] = [len(keys), *keys, *common]
    for call in calls:
        arguments.append(len(call.keys))
        arguments += call.args
    return arguments
