"""Change the grid of a database whose workers are stopped: `python -m booking_worker.regrid --minutes 15`.

Exit codes: 0 if the database has the new grid (or could have it, in a dry run), 1 if it cannot have it or a
server did not answer, 2 for wrong arguments. After a crash, or if a server did not answer, run the same
command again.
"""

import argparse
import asyncio
from collections.abc import Sequence

from booking_worker.regrid.steps import Refusal, Regridding
from shared.contract.errors import HoldsUnreachable
from shared.contract.fields import DAY_MINUTES
from shared.process.settings import Misconfigured, MongoSettings, RedisSettings, load
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.answered import Unanswered
from shared.stores.mongo.regridding import RegridStore, TargetGrid
from shared.stores.redis.servers import open_redis


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Raises:
        SystemExit: the change failed (1), or the arguments are wrong (2).
    """
    parser = argparse.ArgumentParser(
        "python -m booking_worker.regrid",
        description="Change the grid (SLOT_MINUTES) of the database that MONGO_URI names, while its workers "
        "are stopped. Holds in the Redis that REDIS_URL names are deleted. If there are conflicts, they are "
        "named, and nothing is changed.",
    )
    parser.add_argument("--minutes", type=int, required=True, help="the new SLOT_MINUTES")
    parser.add_argument("--duration", type=int, help="minutes of a booking that has no duration (from 0 on)")
    parser.add_argument("--dry-run", action="store_true", help="name the conflicts and change nothing")
    given = parser.parse_args(arguments)
    if not 0 <= given.minutes <= DAY_MINUTES or (given.minutes and DAY_MINUTES % given.minutes):
        parser.error("--minutes must be 0, or divide 1440 (the minutes of a day)")
    if given.duration is not None and not (given.minutes and 1 <= given.duration <= DAY_MINUTES):
        parser.error("--duration must be from 1 to 1440, and needs --minutes above 0")
    try:
        asyncio.run(_regrid(TargetGrid(given.minutes, given.duration), dry=given.dry_run))
    except (Refusal, Misconfigured) as refusal:
        raise SystemExit(str(refusal)) from None
    except (Unanswered, HoldsUnreachable) as failure:
        lost = "REDIS_URL: Redis does not answer"
        reason = lost if isinstance(failure, HoldsUnreachable) else f"MONGO_URI: {failure}"
        raise SystemExit(f"{reason}. Repeat this command, until it is done.") from None


async def _regrid(target: TargetGrid, *, dry: bool) -> None:
    database = mongodb.connect(load(MongoSettings).mongo_uri)
    redis = open_redis(load(RedisSettings).redis_url)
    try:
        await Regridding(RegridStore(database), redis, target, print).run(dry=dry)
    finally:
        mongodb.close(database)
        await redis.aclose()


if __name__ == "__main__":
    main()
