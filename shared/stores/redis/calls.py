"""Build the calls of scripts, and bound the work of one run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

# Redis does nothing else while a script runs. One run takes calls of this total weight, which is 2 or 3 ms of
# work, or a single call that weighs more: the largest hold takes 6 ms to place or grant.
MOST_WEIGHT = 400
CALL_WEIGHT = 4
"""The weight of a call without its keys; each key weighs 1."""
# How many claims one run frees before it leaves further calls for a later run. It never splits the claims of
# one token.
MOST_FREED = 100
LATER = -1
"""A script's answer to a call that it left for a later run, as in `holds.lua`."""


ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class Call:
    """One booking, batch or hold as a script gets it: its KEYS, and its ARGV after the number of KEYS.

    `work`: the weight of work that its KEYS do not show.
    """

    site: str
    keys: Sequence[str]
    args: Sequence[str | int]
    work: int = 0

    @property
    def weight(self) -> int:
        """How much work it is for Redis."""
        return CALL_WEIGHT + len(self.keys) + self.work


def in_parts(
    items: Sequence[ItemT], weight_of: Callable[[ItemT], int], most: int
) -> Iterator[Sequence[ItemT]]:
    """Split items, in order, into parts of at most the weight `most`; a heavier item is a part of its own."""
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
    """Split calls into parts, one per run of a script."""
    return in_parts(calls, lambda call: call.weight, MOST_WEIGHT)


def merged(calls: Sequence[Call], common: Sequence[str | int]) -> list[str | int]:
    """Merge calls into the arguments of one command: the number of KEYS, the KEYS, the ARGV."""
    keys = [key for call in calls for key in call.keys]
    arguments: list[str | int] = [len(keys), *keys, *common]
    for call in calls:
        arguments.append(len(call.keys))
        arguments += call.args
    return arguments
