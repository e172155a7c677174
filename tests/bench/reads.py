"""Reads of stored appointments: the lines that follow the path of each request."""

import random
from datetime import timedelta

from pymongo import MongoClient

from shared.contract.instants import format_instant
from shared.stores.mongo.bookings import COLLECTION
from tests.bench.stored import DOCTORS, FIRST, STEP

LINES = 5_000
_DAY = timedelta(days=1)


def some_ids(mongo_uri: str) -> list[str]:
    """Return the paths of a random sample of the stored appointments."""
    with MongoClient[dict[str, str]](mongo_uri) as client:
        stored = client.get_default_database()[COLLECTION]
        found = stored.aggregate([{"$sample": {"size": LINES}}, {"$project": {"_id": 1}}])
        return [f"/{each['_id']}" for each in found]


def some_days(appointments: int) -> list[str]:
    """Return queries of doctors' days, if this many appointments are stored: 96 for each doctor and day."""
    days = max(1, appointments // len(DOCTORS) * STEP // _DAY)
    chosen = random.Random(0)
    lines = []
    for _ in range(LINES):
        start = FIRST + chosen.randrange(days) * _DAY
        window = f"from={format_instant(start)}&to={format_instant(start + _DAY)}"
        lines.append(f"?resource={chosen.choice(DOCTORS)}&{window}")
    return lines
