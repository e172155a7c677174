"""Cursors: where a page ends, so that the next one begins after that."""

import base64
from datetime import datetime, timedelta

from shared.contract.errors import InvalidRequest
from shared.contract.instants import EPOCH, unix_milliseconds


def cursor_after(slot: datetime) -> str:
    """The cursor of a page whose last slot this is."""
    return base64.urlsafe_b64encode(str(unix_milliseconds(slot)).encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> datetime | None:
    """The slot after which a page begins; None for the first page.

    Raises:
        InvalidRequest: no page had this cursor.
    """
    if cursor is None:
        return None
    try:
        milliseconds = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return EPOCH + timedelta(milliseconds=int(milliseconds))
    except (ValueError, OverflowError):
        raise InvalidRequest("cursor must be what `next` of the page before says") from None
