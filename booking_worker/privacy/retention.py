"""Erase people's data some days after the end of their bookings (`RETAIN_NAMES_DAYS`)."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from booking_worker.privacy.erasure import Counts, erase
from shared.stores.mongo.answered import Unanswered
from shared.stores.mongo.connection import Database
from shared.stores.mongo.personal_data import PersonalData, ended_before

RUN_SECONDS = 24 * 60 * 60.0
RETRY_SECONDS = 60.0

log = structlog.get_logger()


async def retain(data: PersonalData, days: int) -> Counts:
    """Erase the data of all bookings that ended at least some days ago.

    Raises:
        Unanswered: MongoDB failed; a repeat continues.
    """
    moment = datetime.now(UTC) - timedelta(days=days)
    return await erase(data, ended_before(moment), actor="command:retain")


async def retain_daily(database: Database, days: int) -> None:
    """Erase old data now and then once a day, for ever. A run that fails is repeated soon."""
    data = PersonalData(database)
    while True:
        try:
            counts = await retain(data, days)
        except Unanswered as failure:
            log.warning("retention_waits", reason=str(failure))
            await asyncio.sleep(RETRY_SECONDS)
        else:
            log.info("retention_done", erased=counts.total)
            await asyncio.sleep(RUN_SECONDS)
