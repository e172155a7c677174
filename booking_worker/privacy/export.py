"""Export what is stored about a person: one line of JSON per booking."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TextIO

from booking_worker.privacy.erasure import ROWS_AT_ONCE
from shared.contract.instants import format_instant
from shared.stores.mongo.personal_data import PersonalData, Selection


async def export(data: PersonalData, selection: Selection, advance: Callable[[], None], file: TextIO) -> int:
    """Write the rows of the selected bookings as they are stored; return how many.

    The actors of changes are left out: they are not data of the person.

    Raises:
        Unanswered: MongoDB failed.
    """
    count, page = 0, list[str]()
    async for seen in data.scan(selection):
        advance()
        if seen.selected:
            page.append(seen.id)
        if len(page) == ROWS_AT_ONCE:
            count += await _write(data, page, file)
            page = []
    return count + await _write(data, page, file)


async def _write(data: PersonalData, ids: list[str], file: TextIO) -> int:
    rows = await data.read(ids) if ids else []
    for row in rows:
        for entry in row.get("history", ()):
            entry.pop("actor", None)
        file.write(json.dumps(_plain(row), ensure_ascii=False) + "\n")
    return len(rows)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(field) for name, field in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return format_instant(value) if isinstance(value, datetime) else value
