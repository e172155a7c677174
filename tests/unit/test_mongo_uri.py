"""The guarantees that an operator's `MONGO_URI` cannot weaken."""

from pymongo import MongoClient
from pymongo.read_preferences import SecondaryPreferred

from shared.client.attempts import ATTEMPTS
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.bookings import BookingStore

FIRST_ATTEMPT_SECONDS = 5 / ATTEMPTS
WEAK = "?w=1&journal=false&readConcernLevel=available&readPreference=secondaryPreferred&retryWrites=false"


async def test_uri_cannot_weaken_writes_or_reads() -> None:
    """Despite the URI, writes need a journaled majority, and the primary answers reads."""
    database = mongodb.connect(f"mongodb://127.0.0.1:1/booking{WEAK}")
    try:
        store = BookingStore(database)
        for part in (database, store._latest, store._barrier._barriers):
            assert part.write_concern.document == {"w": "majority", "j": True}
            assert part.read_concern.level == "local"
            assert part.read_preference.name == "Primary"
        assert store._committed.read_concern.level == "majority"
        assert database.client.delegate.options.retry_writes
        assert database.client.delegate.options.server_selection_timeout < FIRST_ATTEMPT_SECONDS
        assert database.name == "booking"
    finally:
        database.client.close()


def test_control_driver_uses_weak_options_of_the_uri() -> None:
    """Without the override, the same URI makes weak writes and stale reads."""
    with MongoClient[dict[str, object]](f"mongodb://127.0.0.1:1/booking{WEAK}", connect=False) as client:
        database = client.get_default_database()
        assert database.write_concern.document == {"w": 1, "j": False}
        assert database.read_concern.level == "available"
        assert database.read_preference == SecondaryPreferred()
        assert not client.options.retry_writes
