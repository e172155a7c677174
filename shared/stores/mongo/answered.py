"""Raise one exception for all failures of MongoDB, without the text of any row."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo.errors import OperationFailure, PyMongoError


class Unanswered(Exception):
    """MongoDB refused an operation or did not answer. The message contains nothing of any row."""


@contextmanager
def answered() -> Iterator[None]:
    """Raise `Unanswered` for the driver's errors."""
    try:
        yield
    except OperationFailure as error:
        name: Any = (error.details or {}).get("codeName", error.code)
        raise Unanswered(f"MongoDB refuses: {name}") from None
    except PyMongoError as error:
        raise Unanswered(f"MongoDB does not answer: {type(error).__name__}") from None
