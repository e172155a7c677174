"""Strict JSON: UTF-8 only, and duplicate names of an object are detected."""

from collections import Counter
from json import JSONDecoder
from typing import Any


class Repeating(dict[str, Any]):
    """A JSON object with a duplicate name. A command refuses it, and its fields are not used."""

    repeated: str
    """One of the duplicate names."""


def read_json(data: bytes) -> Any:
    """Parse JSON in UTF-8, without guessing other encodings; an empty text is an empty object.

    Raises:
        ValueError: the text is not JSON in UTF-8.
        RecursionError: the text is nested too deeply.
    """
    return _DECODER.decode((data or b"{}").decode())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) == len(pairs):
        return read
    repeating = Repeating(read)
    repeating.repeated = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    return repeating


_DECODER = JSONDecoder(object_pairs_hook=_object)
