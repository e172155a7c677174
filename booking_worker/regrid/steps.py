"""The steps of a change of the grid. Every step is idempotent, so a run that died is run again."""

from collections.abc import Callable

from booking_worker.regrid.conflicts import find_obstacles, placed_on
from shared.domain.claim import Claims
from shared.domain.grid import SlotRange
from shared.stores.mongo.meta import regrid_command
from shared.stores.mongo.regridding import BookedPlace, RegridStore, State, TargetGrid
from shared.stores.redis.keys import OF_CLAIMS
from shared.stores.redis.scripts import Scripts

MOST_PASSES = 3


class Refusal(Exception):
    """The grid is not changed, or not yet. The lines give the reason and the remedy."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))


class Regridding:
    """Changes the grid of a database to `target`; `show` prints a line for the operator."""

    def __init__(
        self, store: RegridStore, redis: Scripts, target: TargetGrid, show: Callable[[str], None]
    ) -> None:
        self._store = store
        self._redis = redis
        self._target = target
        self._show = show

    async def run(self, *, dry: bool = False) -> None:
        """Change the grid; in a `dry` run, only check that it can be changed.

        1. Mark the change in `meta`, if no worker has a lease. From now on no worker starts.
        2. Make MongoDB reject bookings of any other grid, so that late writes of a suspended worker fail.
        3. Look for conflicts again, because a worker may have written before step 2. From now on no booking
           can be made or moved, so no new conflict can make the next steps fail.
        4. Rewrite the rows.
        5. Delete holds and intents in Redis: their keys name cells of the old grid.
        6. Store the new grid and remove the mark. Workers of the new grid can start.

        Raises:
            Refusal: a worker runs, bookings conflict, or another change is unfinished.
            Unanswered: MongoDB did not answer.
            HoldsUnreachable: Redis did not answer.
        """
        state = await self._look(dry=dry)
        if state.minutes == self._target.minutes and not state.unfinished:
            self._show(f"The grid is {state.minutes} minutes already: nothing is to be done.")
            return
        if dry or not state.unfinished:  # an unfinished change is checked in step 3
            await self._refuse_obstacles("Nothing was changed.")
        if dry:
            self._show("No conflicts: the grid can be changed. Nothing was changed by this dry run.")
            return
        if not await self._store.begin(self._target):
            raise Refusal("A worker has started meanwhile, or another change of the grid: look again.")
        await self._store.admit_only(self._target.minutes)
        try:
            await self._refuse_obstacles("They were booked just before the change: nothing was changed.")
        except Refusal:
            await self._store.abandon(self._target, state.minutes)
            raise
        rewritten = await self._rewrite()
        deleted = await self._redis.delete_all(OF_CLAIMS)
        await self._store.finish(self._target)
        self._show(f"{rewritten} bookings rewritten, {deleted} keys of holds deleted.")
        self._show(f"Done: start workers with SLOT_MINUTES={self._target.minutes}.")

    async def _look(self, *, dry: bool) -> State:
        state = await self._store.look()
        if state is None:
            raise Refusal(
                "No worker has ever served the database that MONGO_URI names: it has no grid yet.",
                "Start workers with the SLOT_MINUTES that you want, or set MONGO_URI.",
            )
        if state.unfinished and state.unfinished != self._target:
            unfinished = state.unfinished
            raise Refusal(
                "Another change of the grid is unfinished. Finish it first:",
                f"  {regrid_command(unfinished.minutes, unfinished.duration)}",
            )
        if state.workers and not state.unfinished and not dry:
            raise Refusal(
                "Workers are running; nothing was changed. Stop them first, and repeat this:",
                *(f"  {worker}" for worker in state.workers),
                "One that was killed is forgotten in some seconds.",
            )
        return state

    async def _refuse_obstacles(self, effect: str) -> None:
        found = await find_obstacles(self._store.in_order(), self._target)
        if found.count:
            more = found.count - len(found.named)
            raise Refusal(
                f"{found.count} conflicts on a grid of {self._target.minutes} minutes. {effect}",
                *(f"  {obstacle}" for obstacle in found.named),
                *([f"  and {more} more"] if more else []),
                "Move or cancel one booking of each, and repeat this.",
            )

    async def _rewrite(self) -> int:
        """Rewrite all rows of other grids, in passes: a pass may miss a row that is cancelled meanwhile."""
        rewritten = 0
        for _ in range(MOST_PASSES):
            left = False
            async for bookings in self._store.of_another_grid(self._target.minutes):
                await self._store.rewrite(
                    self._target.minutes, [self._placed(booking) for booking in bookings]
                )
                rewritten += len(bookings)
                left = True
            if not left:
                return rewritten
        raise Refusal("Rows are changed all the time: something writes to the database. Repeat this.")

    def _placed(self, booked: BookedPlace) -> tuple[BookedPlace, SlotRange, Claims]:
        return booked, *placed_on(self._target, booked)
