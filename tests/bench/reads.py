"""What is read among many appointments that are there already: lines that follow a path, in turn."""

import random
from datetime import timedelta

from pymongo import MongoClient

from shared.contract.instants import format_instant
from shared.stores.mongo.bookings import COLLECTION
from tests.bench.stored import DOCTORS, FIRST, STEP

LINES = 5_000
_DAY = timedelta(days=1)


def some_ids(mongo_uri: str) -> list[str]:
    """Appointments, anywhere among those that are stored."""
    with MongoClient[dict[str, str]](mongo_uri) as client:
        stored = client.get_default_database()[COLLECTION]
        found = stored.aggregate([{"$sample": {"size": LINES}}, {"$project": {"_id": 1}}])
        return [f"/{each['_id']}" for each in found]


def some_days(appointments: int) -> list[str]:
    """Days of doctors, among so many appointments that are stored: 96 of a doctor a day."""
    days = max(1, appointments // len(DOCTORS) * STEP // _DAY)
    chosen = random.Random(0)
    lines = []
    for _ in range(LINES):
        start = FIRST + chosen.randrange(days) * _DAY
        window = f"from={format_instant(start)}&to={format_instant(start + _DAY)}"
        lines.append(f"?resource={chosen.choice(DOCTORS)}&{window}")
    return lines
