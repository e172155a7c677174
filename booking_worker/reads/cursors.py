"""Cursors: the position of the last entry of a page, after which the next page begins.

A cursor is the base64url of `<Unix ms>/<name>`; the name is an id (lists) or a resource (slots). Only a
cursor that a page can contain is accepted, in its canonical spelling.
"""

import base64
import re

from shared.contract.errors import InvalidRequest
from shared.domain.grid import YEAR_10000_MS
from shared.domain.time_range import PagePosition

YEAR_1_MS = -62_135_596_800_000
_TEXT = re.compile(r"(0|-?[1-9][0-9]{0,14})/([A-Za-z0-9._-]{1,64})")


def cursor_after(mark: PagePosition) -> str:
    """Return the cursor of a page that ends at `mark`."""
    return base64.urlsafe_b64encode(f"{mark.at}/{mark.name}".encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> PagePosition | None:
    """Return the position after which a page begins; None for the first page.

    Raises:
        InvalidRequest: no page contains this cursor.
    """
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode("ascii")
    except ValueError:
        text = ""
    match = _TEXT.fullmatch(text)
    if match and YEAR_1_MS <= int(match[1]) < YEAR_10000_MS:
        mark = PagePosition(int(match[1]), match[2])
        if cursor_after(mark) == cursor:
            return mark
    raise InvalidRequest("cursor must be what `next` of the page before says")
