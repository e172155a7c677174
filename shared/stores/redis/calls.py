"""Calls of scripts: what one script gets of one booking or hold, and how much one script is given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# How many keys one script is called with, but for a single call that has more (600 claims have 1200).
# Redis does nothing else while a script runs; this many take it a few milliseconds.
MOST_KEYS = 1000
# How many claims one script frees before it leaves the rest for a later run. Those of a token go together.
MOST_FREED = 600
LATER = -1
"""A script's answer to a call that it left for a later run, as in `holds.lua`."""


@dataclass(frozen=True)
class Call:
    """What a script gets of one booking or hold: its KEYS, which are two a claim, and its ARGV."""

    site: str
    keys: Sequence[str]
    args: Sequence[str | int]


def in_parts(calls: Sequence[Call]) -> Iterator[Sequence[Call]]:
    """The calls in their order, in parts of at most `MOST_KEYS` keys; a larger one is a part of its own."""
    start = keys = 0
    for end, call in enumerate(calls):
        if keys and keys + len(call.keys) > MOST_KEYS:
            yield calls[start:end]
            start, keys = end, 0
        keys += len(call.keys)
    if calls:
        yield calls[start:]


def merged(calls: Sequence[Call], common: Sequence[str | int]) -> list[str | int]:
    """The arguments of one command: how many KEYS, the KEYS, the ARGV."""
    keys = [key for call in calls for key in call.keys]
    arguments: list[str | int] = [len(keys), *keys, *common]
    for call in calls:
        arguments.append(len(call.keys) // 2)
        arguments += call.args
    return arguments
