"""Erase people's data from bookings while workers run. Any number of processes may do so at once."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared.stores.mongo.answered import Unanswered
from shared.stores.mongo.personal_data import PersonalData, Selection

ROWS_AT_ONCE = 500
MOST_ROUNDS = 20
PAUSE_SECONDS = 0.1


@dataclass
class Counts:
    """The number of erased bookings, by site and status."""

    by_site: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.by_site.total()

    def lines(self) -> list[str]:
        """Return a line per site and status."""
        return [f"{site}: {count} {status}" for (site, status), count in sorted(self.by_site.items())]


async def erase(
    data: PersonalData,
    selection: Selection,
    advance: Callable[[], None] = lambda: None,
    *,
    actor: str = "command:erase",
    dry: bool = False,
) -> Counts:
    """Erase the selected bookings; in a `dry` run, only count them.

    `advance` is called for each row that was searched. `actor` is recorded in the histories.

    Raises:
        Unanswered: MongoDB failed, or other writes changed a row in every round. The pages before are
        erased. A repeat continues.
    """
    counts, page = Counts(), list[str]()
    async for seen in data.scan(selection):
        advance()
        if seen.is_erased or not seen.selected:
            continue
        counts.by_site[seen.site, seen.status] += 1
        page.append(seen.id)
        if len(page) == ROWS_AT_ONCE and not dry:
            await _erase_page(data, page, actor)
            page = []
    if not dry:
        await _erase_page(data, page, actor)
    return counts


async def _erase_page(data: PersonalData, ids: Sequence[str], actor: str) -> None:
    for _ in range(MOST_ROUNDS):
        ids = await data.erase(ids, actor) if ids else []
        if not ids:
            return
        await asyncio.sleep(PAUSE_SECONDS)
    raise Unanswered(f"{len(ids)} rows are changed all the time, or the grid is being changed")
