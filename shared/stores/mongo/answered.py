"""Failures of MongoDB, for processes that retry or end: one exception, whose text never quotes a row."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo.errors import OperationFailure, PyMongoError


class Unanswered(Exception):
    """MongoDB refused an operation, or did not answer: the text says which."""


@contextmanager
def answered() -> Iterator[None]:
    """Turn the driver's errors into `Unanswered`."""
    try:
        yield
    except OperationFailure as error:
        name: Any = (error.details or {}).get("codeName", error.code)
        raise Unanswered(f"MongoDB refuses: {name}") from None
    except PyMongoError as error:
        raise Unanswered(f"MongoDB does not answer: {type(error).__name__}") from None
