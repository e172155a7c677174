"""JSON as commands are sent in it: strict UTF-8, and no object that has a name twice."""

from collections import Counter
from json import JSONDecoder
from typing import Any


class Repeating(dict[str, Any]):
    """A JSON object that has a name more than once: a command refuses it, and nothing is read of it."""

    repeated: str
    """One of the names."""


def read_json(data: bytes) -> Any:
    """Read JSON in UTF-8, not in another encoding that could be guessed; an empty text is an empty object.

    Raises:
        ValueError, RecursionError: it is no JSON, or nested too deeply.
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
